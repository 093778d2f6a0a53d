() => {
  const errors = document.querySelector('#errors');
  const { top } = errors.getBoundingClientRect();
  if (top < 0 || top > innerHeight) errors.scrollIntoView({block: 'start'});
}
