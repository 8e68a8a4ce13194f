/* What can go wrong, each in a sentence that says what it is and one that says what to do. */

/** Something to tell the reader. */
export class Fault extends Error {
  constructor(message, advice, cause) {
    super(message, { cause });
    this.advice = advice;
  }
}

const MICROPHONE = {
  NotAllowedError: [
    "The microphone is blocked.",
    "Allow it for this page beside the address, then press the microphone again. A recording needs no permission.",
  ],
  NotFoundError: [
    "There is no microphone.",
    "Connect one and press the microphone again, or drop a recording on this page.",
  ],
  NotReadableError: [
    "The microphone cannot be opened.",
    "Another program may hold it: close that, then press the microphone again.",
  ],
};

/** Return the Fault of an error of getUserMedia or of the audio graph. */
export function microphoneFault(error) {
  const [message, advice] = MICROPHONE[error.name] ?? [
    `The microphone does not work: ${error.message || error.name}.`,
    "Try another browser, or drop a recording on this page.",
  ];
  return new Fault(message, advice, error);
}

const AGAIN = "What was said is kept. Start again to go on.";
const CLOSES = {
  1001: ["The server is shutting down.", `${AGAIN} It may take a moment until it is back.`],
  1006: ["The connection to the server was lost.", AGAIN],
  1011: ["The server failed this stream", AGAIN],
};

/** Return the Fault of a stream that was open; null where it ended well. */
export function closeFault({ code, reason }) {
  if (code === 1000) return null;
  const [message, advice] = CLOSES[code] ?? ["The server ended the stream", AGAIN];
  return new Fault(message.endsWith(".") ? message : `${message}${reason ? `: ${reason}` : ""}.`, advice);
}
