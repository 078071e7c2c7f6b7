"""Train the encoder that notebooks 5 and up start from, and put it into the package.

python benchmarks/publish_encoder.py
"""

from metriclearn.course.dataset import OWN, train_encoder
from metriclearn.embedding import PUBLISHED

card = train_encoder(OWN, PUBLISHED)
said = f"{card['accuracy']} {card['accuracy_interval_95']} % of {card['test_images']} test images are right"
print(f"encoder {card['encoder_id']}: {said}")
