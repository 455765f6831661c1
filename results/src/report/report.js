"use strict";
// Everything is on the page without this: it opens what a link points into and what is printed.
const all = () => document.querySelectorAll("details");
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
};
addEventListener("hashchange", open);
addEventListener("beforeprint", () => all().forEach((one) => (one.open = true)));
const button = document.getElementById("details");
button.hidden = false;
button.addEventListener("click", () => {
  const closed = [...all()].some((one) => !one.open);
  all().forEach((one) => (one.open = closed));
  button.textContent = closed ? "Close details" : "Open details";
});
open();
