"""Hardware checkpoints of any model, verified by running them.

1. The format is the generation whose arithmetic is the model's (`export.hwckpt.target`); another one
   changes the arithmetic, so the word error rate before and after is measured.
2. The format has no log floor: the card's is 1e-20. A model of another floor gives a warning with the
   word error rate under both.
3. What was written is read back and compared, and both are run on random input: the logits are equal,
   bit for bit, or nothing is left.
4. The format has no gate of the statistics, no gain control and no muting: a model that has them is
   written without, with a warning where that costs words.
5. A model in which a later sample changes an earlier output is refused.
"""
