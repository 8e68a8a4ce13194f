/* A transcript as a file: text, SubRip (SRT), WebVTT.

   Takes utterances, arrays of words {text, start, end}, times in seconds. Cues are those that
   `stream/transcripts/captions.py` makes, by the same rules:

   1. A cue holds words of one utterance. It ends at a pause, and before it would be longer than two lines
      of a subtitle or a viewer would wait for the next one.
   2. It appears with its first word, and stays after its last one until a viewer has had time to read it,
      or the next cue appears. Cues do not overlap. */

const CHARACTERS = 84; // two lines of a subtitle
const SECONDS = 7;
const PAUSE = 2; // seconds between two words that are not shown together
const SHORTEST = 1; // seconds that a cue stays, where the next one leaves so many
const READING = 17; // characters a second

/** What can be downloaded: {name, extension, type, write}, where `write` takes utterances. */
export const FORMATS = [
  { name: "Text", extension: "txt", type: "text/plain", write: text },
  { name: "SRT", extension: "srt", type: "application/x-subrip", write: srt },
  { name: "VTT", extension: "vtt", type: "text/vtt", write: vtt },
];

/** Return a line for each utterance. */
export function text(utterances) {
  return utterances.map((words) => `${joined(words)}\n`).join("");
}

/** Return a SubRip file. */
export function srt(utterances) {
  const cue = (shown, k) => `${k + 1}\n${span(shown, ",")}\n${shown.text}\n\n`;
  return cues(utterances).map(cue).join("");
}

/** Return a WebVTT file. */
export function vtt(utterances) {
  const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  const escaped = (said) => said.replace(/[&<>]/g, (character) => escapes[character]);
  const cue = (shown) => `${span(shown, ".")}\n${escaped(shown.text)}\n\n`;
  return `WEBVTT\n\n${cues(utterances).map(cue).join("")}`;
}

/** Return {start, end, text} of each cue. */
function cues(utterances) {
  const found = lines(utterances);
  return found.map((words, k) => {
    const text = joined(words);
    const start = words[0].start;
    const read = start + Math.max(SHORTEST, [...text].length / READING);
    const following = found[k + 1]?.[0].start ?? Infinity;
    return { start, end: Math.max(words.at(-1).end, Math.min(read, following)), text };
  });
}

/** Return the words of each cue (rule 1). */
function lines(utterances) {
  const found = [];
  for (const words of utterances) {
    let line = [];
    for (const word of words) {
      if (line.length && !fits(line, word)) found.push(line.splice(0));
      line.push(word);
    }
    if (line.length) found.push(line);
  }
  return found;
}

function fits(line, word) {
  return (
    [...joined([...line, word])].length <= CHARACTERS &&
    word.end - line[0].start <= SECONDS &&
    word.start - line.at(-1).end <= PAUSE
  );
}

function joined(words) {
  return words.map((word) => word.text).join(" ");
}

function span({ start, end }, point) {
  return `${clock(start, point)} --> ${clock(end, point)}`;
}

/** Write a time as 00:00:00,000. */
function clock(seconds, point) {
  const milliseconds = Math.round(seconds * 1000);
  const parts = [3600000, 60000, 1000].map((unit, k) => Math.floor(milliseconds / unit) % (k ? 60 : Infinity));
  const written = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return `${written}${point}${String(milliseconds % 1000).padStart(3, "0")}`;
}
