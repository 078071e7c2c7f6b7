from test_finetune import IMAGES, LABELS, SCARCE, small_backbone  # noqa: F401  # shim
