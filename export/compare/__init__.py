"""What quantisation, or any other change, did: several artefacts on the same recordings, side by side.

artefacts   what can be compared, and what each says of a recording
stages      values of each stage along the reference's path, and how far they are apart
saturation  shares of outputs and cells at their bounds
partings    where two transcripts part
findings    all of that, for one set of artefacts
clips       audio for the page
charts      its pictures, as SVG
page        the page
"""
