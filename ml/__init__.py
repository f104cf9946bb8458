"""The model: features, labels, validation, training, passport and the walker that scores a row."""

import os

# Read once, when XGBoost loads its OpenMP: waiting threads that spin cost two to four times the wall time
# on a machine with other work, and sleeping ones cost nothing on an idle one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
