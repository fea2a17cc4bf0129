"""Anomalies in sensor data: rules of quality, predictions, scores and alarm lines, events; state that is carried on."""

from tsrnn.anomaly.detector import AnomalyDetector as AnomalyDetector
from tsrnn.anomaly.detector import training_rows as training_rows
from tsrnn.anomaly.evaluation import evaluate as evaluate
from tsrnn.anomaly.evaluation import event_hits as event_hits
from tsrnn.anomaly.rules import Quality as Quality
