// The published encoder in plain JavaScript, for pages without Python: three convolutions with stride 2
// (batch norm folded in) and one linear layer; then the vote of the nearest references.
// It does what metriclearn/models.py and metriclearn/classify.py do; a test compares them.

export function floats(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

// Convolution 3 x 3, stride 2, padding 1, then ReLU. x: [channels][side][side], flat.
function convolve(x, side, { weight, bias, shape: [after, before] }) {
  const half = (side + 1) >> 1, out = new Float32Array(after * half * half);
  for (let o = 0; o < after; o++) for (let row = 0; row < half; row++) for (let col = 0; col < half; col++) {
    let sum = bias[o];
    for (let dy = 0; dy < 3; dy++) {
      const y = 2 * row + dy - 1;
      if (y < 0 || y >= side) continue;
      for (let dx = 0; dx < 3; dx++) {
        const xx = 2 * col + dx - 1;
        if (xx < 0 || xx >= side) continue;
        for (let i = 0; i < before; i++) {
          sum += weight[((o * before + i) * 3 + dy) * 3 + dx] * x[(i * side + y) * side + xx];
        }
      }
    }
    out[(o * half + row) * half + col] = Math.max(0, sum);
  }
  return [out, half];
}

// pixels: 784 numbers in [0, 1]. Returns the embedding, 32 numbers of unit length.
export function encode(pixels, { convolutions, head }) {
  let x = pixels, side = 28;
  for (const layer of convolutions) [x, side] = convolve(x, side, layer);
  const code = head.bias.map((bias, o) => x.reduce((sum, v, i) => sum + v * head.weight[o * x.length + i], bias));
  const length = Math.hypot(...code);
  return code.map((v) => v / length);
}

// Weights as they come in JSON: base64 becomes Float32Array.
export function readEncoder({ convolutions, head }) {
  const read = (layer) => ({ ...layer, weight: floats(layer.weight), bias: floats(layer.bias) });
  return { convolutions: convolutions.map(read), head: read(head) };
}

// The vote of the k nearest, as QdrantClassifier has it. `references`: embeddings, flat, and their labels.
export function vote(vector, { embeddings, labels, neighbours, temperature, threshold }) {
  const scores = labels.map((label, row) => ({
    row, label, score: vector.reduce((sum, v, i) => sum + v * embeddings[row * vector.length + i], 0),
  }));
  const nearest = scores.sort((a, b) => b.score - a.score).slice(0, neighbours), votes = {};
  let total = 0;
  for (const { label, score } of nearest) {
    const weight = Math.exp((score - nearest[0].score) / temperature);
    votes[label] = (votes[label] ?? 0) + weight;
    total += weight;
  }
  for (const label of Object.keys(votes)) votes[label] /= total;
  const [winner] = Object.entries(votes).sort((a, b) => b[1] - a[1])[0];
  return { label: nearest[0].score >= threshold ? Number(winner) : -1, neighbours: nearest, votes };
}
