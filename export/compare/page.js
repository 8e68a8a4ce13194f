"use strict";
// A clip's playhead follows its audio, and a click on the wave plays from there. What is wider than the
// screen says that it scrolls, and does so by the keyboard. Without a script the page lacks only that.
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const overflows = target.scrollWidth > target.clientWidth;
    target.classList.toggle("overflows", overflows);
    if (overflows) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const wide of document.querySelectorAll(".scroll")) sizes.observe(wide);

for (const article of document.querySelectorAll("article")) {
  const audio = article.querySelector("audio");
  const wave = article.querySelector("svg.timeline");
  if (!audio || !wave) continue;
  const left = Number(wave.dataset.left);
  const scale = Number(wave.dataset.scale);
  const head = wave.querySelector(".playhead");

  const follow = () => {
    head.style.transform = `translateX(${audio.currentTime * scale}px)`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    article.classList.add("heard");
    follow();
  });
  audio.addEventListener("seeked", follow);
  wave.addEventListener("click", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY);
    const x = point.matrixTransform(wave.getScreenCTM().inverse()).x;
    audio.currentTime = Math.max(0, (x - left) / scale);
    audio.play();
  });
}
