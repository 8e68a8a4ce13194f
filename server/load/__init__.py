"""The load client: many live streams at once, and their latencies.

`python -m server.load` is the command. Streams run in real time, each with a random phase, and one loop
paces all of them, so that the client may run on the machine that it measures. Only the load client needs
the extra `load` (picows, matplotlib).

    recordings   the streamed audio, reference text and times of words
    dialects     the messages of Myrtle's API and of sherpa-onnx, without I/O
    arrivals     when each word appeared for good
    player       connections and pacing
    run          N streams for S seconds
    point        the figures of a run
    search       the largest N that holds
    plot         the curve
"""
