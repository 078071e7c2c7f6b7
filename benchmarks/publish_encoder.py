"""Train the encoder that notebooks 5 and up start from, and put it into the package.

Label draw 0 and training seed 0, the defaults of `MetricEmbedding`: not the best of many.

    python benchmarks/publish_encoder.py
"""

from metriclearn import MetricEmbedding, QdrantClassifier, load_images, scarce_labels
from metriclearn.embedding import PUBLISHED
from metriclearn.evaluate import share_interval

pool, test = load_images("mnist-5k")
labels = scarce_labels(pool.labels, per_class=10, seed=0)
known = labels >= 0
embedding = MetricEmbedding(random_state=0).fit(pool.pixels, labels)
with QdrantClassifier().fit(embedding.transform(pool.pixels[known]), labels[known]) as classifier:
    hits = int((classifier.predict(embedding.transform(test.pixels)) == test.labels).sum())
accuracy = share_interval(hits, len(test))
card = embedding.save(
    PUBLISHED,
    data="mnist-5k",
    labels="scarce_labels(pool.labels, per_class=10, seed=0)",
    seed=0,
    classifier="vote of the 5 nearest of the 100 labelled images",
    accuracy=round(accuracy.mean, 1),
    accuracy_interval_95=[round(accuracy.low, 1), round(accuracy.high, 1)],
    test_images=len(test),
)
print(f"encoder {card['encoder_id']}: {accuracy} % on {len(test)} test images")
