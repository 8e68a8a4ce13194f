"""Records: one utterance of a data set, whatever format it comes from; and what formats share."""
