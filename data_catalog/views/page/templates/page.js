"use strict";
const box = document.getElementById("search");
if (box) {
  const items = [...document.querySelectorAll("[data-words]")];
  const said = document.getElementById("found");
  const filter = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of items) item.hidden = !words.every((word) => item.dataset.words.includes(word));
    said.textContent = `${items.filter((item) => !item.hidden).length} of ${items.length} shown`;
  };
  document.getElementById("search-form").hidden = false;
  box.addEventListener("input", filter);
  filter();
}
const copied = (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  return Promise.reject();
};
for (const snippet of document.querySelectorAll(".snippet")) {
  const lines = snippet.querySelector("pre");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", () => {
    copied(lines.textContent).catch(() => {
      getSelection().selectAllChildren(lines);
      document.execCommand("copy");
    }).then(() => { button.textContent = "Copied"; });
  });
  snippet.querySelector("h3").append(button);
}
