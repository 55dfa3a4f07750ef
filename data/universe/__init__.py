"""A generated corpus: small books about an invented world, with known faults, and the truth to score cleaning against."""
