"""The model: features, labels, validation, training, passport and the walker that scores a row."""
