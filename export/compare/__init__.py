"""What quantisation, or any other change, did: several artefacts on the same recordings, side by side.

artefacts    what can be compared, and the transcripts of each
divergence   where two transcripts diverge
stages       all models traced, stage by stage
differences  how far two models are apart at each stage
saturation   shares of outputs and cells at their bounds
findings     all of that, for one set of artefacts
clips        audio for the page
charts       the pictures of the page, as SVG
page         the page
"""
