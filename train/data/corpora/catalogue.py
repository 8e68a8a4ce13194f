"""The corpora that can be prepared, by the name on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from train.data.corpora.an4 import AN4
from train.data.corpora.common_voice import COMMON_VOICE
from train.data.corpora.layout import PublishedCorpus
from train.data.corpora.librispeech import LIBRISPEECH
from train.data.corpora.lingua_libre import LINGUA_LIBRE
from train.data.corpora.mailabs import MAILABS
from train.data.corpora.mls import MLS
from train.data.corpora.slr57 import SLR57
from train.data.corpora.speech_commands import SPEECH_COMMANDS
from train.data.corpora.training_speech import TRAINING_SPEECH

CORPORA: Mapping[str, PublishedCorpus] = MappingProxyType(
    {
        "an4": AN4,
        "commonvoice": COMMON_VOICE,
        "librispeech": LIBRISPEECH,
        "lingualibre": LINGUA_LIBRE,
        "mailabs": MAILABS,
        "mls": MLS,
        "slr57": SLR57,
        "speechcommands": SPEECH_COMMANDS,
        "trainingspeech": TRAINING_SPEECH,
    }
)
