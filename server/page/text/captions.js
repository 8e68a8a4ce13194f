/* A transcript as a file: text, SubRip (SRT), WebVTT.

   Takes utterances, arrays of words {text, start, end}, times in seconds. Cues are those that
   `stream/transcripts/captions.py` makes: a cue holds words of one utterance, and ends at a pause or
   before it would be longer than two lines of a subtitle, or than a viewer waits for the next one. */

const CHARACTERS = 84; // two lines of a subtitle
const SECONDS = 7;
const PAUSE = 2; // seconds between two words that are not shown together

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
  const cue = (words, k) => `${k + 1}\n${span(words, ",")}\n${joined(words)}\n\n`;
  return cues(utterances).map(cue).join("");
}

/** Return a WebVTT file. */
export function vtt(utterances) {
  const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  const escaped = (said) => said.replace(/[&<>]/g, (character) => escapes[character]);
  const cue = (words) => `${span(words, ".")}\n${escaped(joined(words))}\n\n`;
  return `WEBVTT\n\n${cues(utterances).map(cue).join("")}`;
}

function cues(utterances) {
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

function span(words, point) {
  return `${clock(words[0].start, point)} --> ${clock(words.at(-1).end, point)}`;
}

/** Write a time as 00:00:00,000. */
function clock(seconds, point) {
  const milliseconds = Math.round(seconds * 1000);
  const parts = [3600000, 60000, 1000].map((unit, k) => Math.floor(milliseconds / unit) % (k ? 60 : Infinity));
  const written = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return `${written}${point}${String(milliseconds % 1000).padStart(3, "0")}`;
}
