const contents = JSON.parse(document.getElementById("contents").textContent);

// Without eval, which the page's policy forbids, and in SVG, where colours can be variables.
const options = { ast: true, renderer: "svg", actions: false };

function draw(element) {
  vegaEmbed(element, contents.figures[element.dataset.figure], options).then(() => {
    element.classList.add("drawn");
  });
}

// What is folded away or far below costs nothing until it is looked at.
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    }
  },
  { rootMargin: "200px" },
);
for (const element of document.querySelectorAll("[data-figure]")) {
  watcher.observe(element);
}

for (const button of document.querySelectorAll("[data-download]")) {
  button.addEventListener("click", () => {
    const name = button.dataset.download;
    const link = document.createElement("a");
    link.download = name;
    link.href = URL.createObjectURL(new Blob([contents.downloads[name]], { type: "text/plain" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
}
