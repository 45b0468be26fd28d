"use strict";
const search = document.querySelector("input");
const operations = [...document.querySelectorAll("details.operation")];
const shapes = [...document.querySelectorAll("details.shape")];
const guide = document.querySelector("section.guide");
const sections = [...document.querySelectorAll("section:not(.guide)")];
const none = document.getElementById("none");

function find() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (text) => words.every((word) => text.includes(word));
  const entries = [...operations, ...shapes];
  for (const one of entries) {
    one.hidden = !fits(one.dataset.words);
  }
  guide.hidden = !fits(guide.textContent.toLowerCase());
  for (const section of sections) {
    const inside = [...section.querySelectorAll("details.operation, details.shape")];
    section.hidden = inside.every((one) => one.hidden);
  }
  none.hidden = !guide.hidden || entries.some((one) => !one.hidden);
}

function open() {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (place && place.tagName === "DETAILS") {
    if (place.hidden || place.closest("section").hidden) {
      search.value = "";
      find();
    }
    place.open = true;
    place.scrollIntoView();
  }
}

for (const one of document.querySelectorAll("code.curl")) {
  if (location.origin.startsWith("http")) {
    one.textContent = one.textContent.replace("http://localhost:8080", location.origin);
  }
}
for (const one of operations) {
  one.addEventListener("toggle", () => {
    if (one.open) history.replaceState(null, "", "#" + one.id);
  });
}
search.addEventListener("input", find);
window.addEventListener("hashchange", open);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  }
});
open();
