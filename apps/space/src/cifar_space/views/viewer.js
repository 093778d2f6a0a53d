// Opens an image, a map or a figure large. The arrow keys lead through those that stand together.
const viewer = element.querySelector('#viewer');
const [title, scene, caption, count, opacity, divider, original] =
  ['title', 'scene', 'caption', 'count', 'opacity', 'divider', 'original'].map((name) => viewer.querySelector(`.${name}`));
const [photo, heat] = scene.children;
let together = [], place = 0;

function update() {
  heat.style.opacity = opacity.value;
  heat.style.clipPath = `inset(0 0 0 ${divider.value}%)`;
  const source = together[place], small = source.querySelector('img');
  const large = original.checked && source.closest('[data-original]')?.dataset.original;
  photo.src = large || small.src;
  photo.classList.toggle('smooth', Boolean(large));
}

function show(next) {
  place = (next + together.length) % together.length;
  const source = together[place], map = source.querySelector('.heat');
  const group = source.closest('.card, .tile, section');
  viewer.dataset.kind = source.querySelector('.report') ? 'figure' : map ? 'map' : 'image';
  viewer.classList.toggle('single', together.length < 2);
  viewer.classList.toggle('has-original', Boolean(source.closest('[data-original]')));
  title.textContent = group?.querySelector('h2, .figures + p')?.textContent ?? '';
  caption.textContent = map?.alt ?? source.closest('figure')?.querySelector('figcaption').textContent ?? '';
  count.textContent = `${place + 1} of ${together.length}`;
  photo.alt = map ? '' : source.querySelector('img').alt;
  heat.src = map?.src ?? '';
  heat.hidden = !map;
  update();
}

function save() {
  const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
  const [width, height] = [photo.naturalWidth, photo.naturalHeight];
  const side = Math.min(width, height), whole = viewer.dataset.kind === 'figure';
  [canvas.width, canvas.height] = whole ? [width, height] : [1024, 1024];
  const part = whole ? [0, 0, width, height] : [(width - side) / 2, (height - side) / 2, side, side];
  pen.imageSmoothingEnabled = whole || photo.classList.contains('smooth');
  pen.drawImage(photo, ...part, 0, 0, canvas.width, canvas.height);
  if (!heat.hidden) {
    pen.imageSmoothingEnabled = true;
    pen.globalAlpha = opacity.value;
    pen.beginPath();
    pen.rect(canvas.width * divider.value / 100, 0, canvas.width, canvas.height);
    pen.clip();
    pen.drawImage(heat, 0, 0, canvas.width, canvas.height);
  }
  const link = document.createElement('a');
  link.href = canvas.toDataURL('image/png');
  link.download = `${[title, caption].map((one) => one.textContent).filter(Boolean).join(', ')}.png`;
  link.click();
}

document.addEventListener('click', (event) => {
  const source = event.target.closest('.paper .enlarge');
  if (!source) return;
  together = [...(source.closest('.figures') ?? source.parentElement).querySelectorAll('.enlarge')];
  const map = source.querySelector('.heat') ?? document.querySelector('.heat');
  opacity.value = map ? getComputedStyle(map).opacity : 1;
  divider.value = 0;
  original.checked = true;
  show(together.indexOf(source));
  viewer.showModal();
});
viewer.addEventListener('click', (event) => {
  const task = event.target.dataset.do;
  if (task === 'back') show(place - 1);
  if (task === 'forward') show(place + 1);
  if (task === 'save') save();
  // A click beside the dialog is one on its backdrop.
  if (task === 'close' || event.target === viewer) viewer.close();
});
viewer.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (step && event.target.type !== 'range') show(place + step);
});
viewer.addEventListener('input', update);
scene.addEventListener('pointermove', (event) => {
  if (!event.buttons || heat.hidden) return;
  const {left, width} = scene.getBoundingClientRect();
  divider.value = 100 * (event.clientX - left) / width;
  update();
});
photo.addEventListener('error', () => {
  // A file that no browser can show, such as a TIFF.
  if (!original.checked) return;
  original.checked = false;
  viewer.classList.remove('has-original');
  update();
});
