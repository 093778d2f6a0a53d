"""The third tab: what is known of the model."""

import gradio as gr

from cifar_space.service.service import Service
from cifar_space.views.model_page import model_card


def model_tab(service: Service) -> None:
    """Build the tab; its endpoint is `/model`. To be called within a `gr.Tab`."""
    gr.HTML(model_card(service.facts, service.report), elem_id="model", elem_classes="paper")
    gr.on(
        [],
        service.facts.to_dict,
        inputs=None,
        outputs=gr.JSON(visible=False, label="facts"),
        api_name="model",
        api_description="Tell what is known of the model.",
        queue=False,
        show_progress="hidden",
    )
