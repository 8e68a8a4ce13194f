"""The load client: many live streams at once, and what the slowest of them get.

`python -m server.load` is the tool. Streams run in real time with a random phase each, and all of
them are paced by one loop, so that the client may stand on the machine that it measures. Needs the
extra `load` (picows, matplotlib), which nothing else of the server does.

    recordings   what is streamed: audio as messages, reference text, reference times of words
    dialects     what the messages mean: Myrtle's API and sherpa-onnx's, without I/O
    arrivals     when each word was on the screen for good
    player       the connections and the pacing
    run          N streams for S seconds
    point        what such a run gave, in numbers
    search       the largest N that holds
    plot         the curve, drawn
"""
