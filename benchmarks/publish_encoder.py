"""Train the encoder that notebooks 5 and up start from, and put it into the package.

python -m benchmarks.publish_encoder
"""

from metriclearn.course.dataset import OWN, train_encoder
from metriclearn.embedding import PUBLISHED


def main() -> None:
    """Train, write the weights and their card, and print how many test images are right."""
    card = train_encoder(OWN, PUBLISHED)
    accuracy = f"{card['accuracy']} {card['accuracy_interval_95']}"
    print(f"encoder {card['encoder_id']}: {accuracy} % of {card['test_images']} test images are right")


if __name__ == "__main__":
    main()
