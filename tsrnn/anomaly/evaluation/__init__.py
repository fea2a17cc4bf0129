"""Judging scores, alarms and events by labelled faults. Nothing here is ever read by a detector.

`evaluate` gives a table of all metrics, with a row of a naive score and one of random scores beside the detector's.
"""

from tsrnn.anomaly.evaluation.affiliation import affiliation_metrics as affiliation_metrics
from tsrnn.anomaly.evaluation.alarms import MisleadingMetricWarning as MisleadingMetricWarning
from tsrnn.anomaly.evaluation.alarms import composite_metrics as composite_metrics
from tsrnn.anomaly.evaluation.alarms import delays as delays
from tsrnn.anomaly.evaluation.alarms import event_counts as event_counts
from tsrnn.anomaly.evaluation.alarms import event_metrics as event_metrics
from tsrnn.anomaly.evaluation.alarms import false_alarms_per_week as false_alarms_per_week
from tsrnn.anomaly.evaluation.alarms import point_adjusted as point_adjusted
from tsrnn.anomaly.evaluation.alarms import point_metrics as point_metrics
from tsrnn.anomaly.evaluation.alarms import precision_recall_f1 as precision_recall_f1
from tsrnn.anomaly.evaluation.alarms import range_metrics as range_metrics
from tsrnn.anomaly.evaluation.hits import event_hits as event_hits
from tsrnn.anomaly.evaluation.nab import PROFILES as PROFILES
from tsrnn.anomaly.evaluation.nab import NabScore as NabScore
from tsrnn.anomaly.evaluation.nab import nab_score as nab_score
from tsrnn.anomaly.evaluation.ranking import best_f1 as best_f1
from tsrnn.anomaly.evaluation.ranking import pr_auc as pr_auc
from tsrnn.anomaly.evaluation.ranking import roc_auc as roc_auc
from tsrnn.anomaly.evaluation.ranking import vus as vus
from tsrnn.anomaly.evaluation.segments import label_rows as label_rows
from tsrnn.anomaly.evaluation.segments import segments as segments
from tsrnn.anomaly.evaluation.table import evaluate as evaluate
from tsrnn.anomaly.evaluation.table import naive_score as naive_score
