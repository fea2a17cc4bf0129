"""Anomalies in sensor data: forecast residuals to scores, scores to events."""

from tsrnn.anomaly.detector import AnomalyDetector as AnomalyDetector
from tsrnn.anomaly.detector import training_rows as training_rows
from tsrnn.anomaly.evaluation import evaluate as evaluate
from tsrnn.anomaly.evaluation import event_hits as event_hits
