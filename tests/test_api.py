"""The interface for Python: what the commands do, by keyword, with their lines in exceptions and warnings."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import ablation
import additional_experiments
import baselines
import classify
from ablation import Classifier, load_classifier, load_results, run_experiment
from ablation.config.experiment import ConfigError
from ablation.data.message import MessageError
from ablation.results.log import ResultsError
from ablation.results.read import FinishedRun
from ablation.run.saved_models import NoModelError
from ablation.run.trained_classifier import ClassifierError
from tests.commands.test_classify import EPOCH_OF_TEST  # noqa: F401
