"""How the page looks: one quiet theme for light and dark. All fonts are the system's own."""

import gradio as gr

_SYSTEM_FONTS = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_SYSTEM_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def make_theme() -> gr.themes.Base:
    """Return the theme: neutral surfaces, one accent colour, thin borders, no shadows."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=_SYSTEM_FONTS,
        font_mono=_SYSTEM_MONO,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_label_text_weight="500",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="500",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )


#: Style sheet of the page: its own width, and the cards that `cifar_space.cards` writes.
CSS = """
:root { --heat-opacity: 0.5; }
.gradio-container > .main { width: 100%; max-width: 1240px; margin: 0 auto; }
#header .html-container, #results .html-container { padding: 0; }
#layers .wrap label { padding-left: 0; background: none; }
footer .divider { display: none; }
.dark input[type="range"] { --neutral-200: var(--neutral-700); }

/* Beside the answers what was given, and below it what is asked; on a phone the answers come in between. */
#areas {
  display: grid; gap: 1.25rem; align-items: start;
  grid-template: "given found" auto "asked found" 1fr / minmax(300px, 5fr) minmax(0, 8fr);
}
#given { grid-area: given; }
#found { grid-area: found; }
#asked { grid-area: asked; }
@media (max-width: 760px) {
  #areas { grid-template: "given" "found" "asked" / minmax(0, 1fr); }
}

#header h1 { font-size: 1.5rem; font-weight: 650; letter-spacing: -0.01em; margin: 0 0 0.35rem; }
#header p { max-width: 46rem; margin: 0; color: var(--body-text-color-subdued); line-height: 1.5; }

/* Galleries: whole rows of equal thumbnails at any width, under their label, with square pixels. */
#pictures .grid-wrap, #examples .grid-wrap { padding-top: 2.25rem; }
#examples .grid-wrap { height: auto; min-height: 0; max-height: none; overflow: visible; }
#pictures .grid-container, #examples .grid-container {
  grid-template-columns: repeat(5, minmax(0, 1fr)); grid-template-rows: none; grid-auto-rows: auto;
  padding-top: 0;
}
#examples img { image-rendering: pixelated; }
#examples .caption-label { display: none; }

#results .notice {
  margin: 0; padding: 3.5rem 1.5rem; text-align: center; color: var(--body-text-color-subdued);
  border: 1px dashed var(--border-color-primary); border-radius: var(--radius-lg);
}
#results .cards { display: grid; gap: 1rem; }
#results .card {
  padding: 1.1rem 1.25rem; background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
}
#results .card header {
  display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 0.25rem 1rem;
  margin-bottom: 0.9rem;
}
#results .card h3 {
  margin: 0; font-size: 0.95rem; font-weight: 600; overflow-wrap: anywhere; color: inherit;
}
#results .card p { margin: 0; font-size: 0.875rem; }
#results .card .about { color: var(--body-text-color-subdued); }
#results .notice.alert, #results .card.refused {
  color: var(--error-text-color); background: var(--error-background-fill);
  border: 1px solid var(--error-border-color);
}
#results .refused p { margin-top: 0.25rem; color: inherit; }

#results .bars { list-style: none; margin: 0 0 1.1rem; padding: 0; display: grid; gap: 0.55rem; }
#results .bars li {
  display: grid; grid-template-columns: 1fr auto; gap: 0.2rem 0.75rem; margin: 0; font-size: 0.875rem;
}
#results .bars .value { font-variant-numeric: tabular-nums; color: var(--body-text-color-subdued); }
#results .bars .track {
  grid-column: 1 / -1; height: 6px; border-radius: 3px; overflow: hidden; background: var(--neutral-200);
}
.dark #results .bars .track { background: var(--neutral-700); }
#results .bars .track > span { display: block; height: 100%; background: var(--neutral-400); }
.dark #results .bars .track > span { background: var(--neutral-500); }
#results .bars li:first-child .name { font-weight: 600; }
#results .bars li:first-child .value { color: inherit; }
#results .bars li:first-child .track > span { background: var(--primary-600); }
.dark #results .bars li:first-child .track > span { background: var(--primary-400); }

#results .figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); gap: 0.75rem; }
#results figure { margin: 0; }
#results .stack { position: relative; aspect-ratio: 1; border-radius: var(--radius-sm); overflow: hidden; }
#results .stack img {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; display: block; border-radius: 0;
}
#results .photo { image-rendering: pixelated; }
#results .heat { opacity: var(--heat-opacity); }
#results figcaption {
  margin-top: 0.35rem; font-size: 0.8rem; color: var(--body-text-color-subdued); overflow-wrap: anywhere;
}
"""
