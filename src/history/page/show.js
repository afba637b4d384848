"use strict";
// How things are shown: text from the log made harmless, lengths of time, moments, elements.

// Text from the log: short, and without characters that are not seen or that turn the direction.
function safe(text, most = 300) {
  const cut = text.length > most ? Array.from(text.slice(0, 2 * most)).slice(0, most).join("") + "…" : text;
  return cut.replace(/[\p{C}\u2028\u2029]/gu, c => "\\u{" + c.codePointAt(0).toString(16) + "}");
}

// A length in microseconds, with two or three digits: as in the table of the terminal.
function span(us) {
  const ms = Math.floor(us / 1e3), s = Math.floor(us / 1e6);
  if (us < 1e3) return Math.floor(us) + " µs";
  if (us < 1e4) return ms + "." + Math.floor(us / 100) % 10 + " ms";
  if (us < 1e6) return ms + " ms";
  if (us < 1e7) return s + "." + Math.floor(ms / 100) % 10 + " s";
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + s % 60 + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s / 3600) % 24 + " h";
}

const micros = seconds => Math.round(seconds * 1e6);
const count = number => number.toLocaleString("en");

// A moment, in microseconds since 1970, in UTC, as fine as a scale of `step` microseconds needs.
function moment(us, step) {
  const iso = new Date(Math.floor(us / 1e3)).toISOString();
  if (step >= 86400e6) return iso.slice(0, 10);
  if (step >= 60e6) return iso.slice(11, 16);
  if (step >= 1e6) return iso.slice(11, 19);
  if (step >= 1e3) return iso.slice(11, 23);
  return iso.slice(11, 23) + String(((us % 1e3) + 1e3) % 1e3 | 0).padStart(3, "0");
}

// An element with a class, and texts or elements in it.
function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content.map(part => typeof part === "object" ? part : String(part)));
  return made;
}

const json = id => JSON.parse(document.getElementById(id).textContent);
const at = id => document.getElementById(id);
