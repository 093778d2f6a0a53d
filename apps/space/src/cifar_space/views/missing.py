"""What stands in place of a gallery, or of its images, where the model comes without. Everything is escaped."""

from cifar_models import CIFAR10
from cifar_space.service.service import Service
from cifar_space.views.model_page import command, report_figure


def missing_gallery(service: Service) -> str:
    """Return that the errors are not known, how to find them, and what the report shows of them."""
    how = (
        ""
        if service.gallery_command is None
        else f"<p>This command makes it{_elsewhere(service)}:</p>{command(service.gallery_command)}"
        "<p>The page takes it with <code>--gallery</code> and its folder.</p>"
    )
    return _section(f"<p>There is no gallery of this model's predictions here.</p>{how}{_figure(service)}")


def missing_images() -> str:
    """Return what goes above errors without images.

    >>> missing_images()
    '<p class="about">This copy has the numbers of all errors, but not their images.</p>'
    """
    return '<p class="about">This copy has the numbers of all errors, but not their images.</p>'


def instead_of_images(service: Service) -> str:
    """Return what goes below errors without images: the report's figure of some, and how to get the others.

    It is empty where there is neither.
    """
    figure = _figure(service)
    if figure:
        figure = f"<h2>Ten of them, as the report shows them</h2>{figure}"
    how = (
        ""
        if service.gallery_command is None
        else f"<p>This command adds the images of all errors{_elsewhere(service)}:</p>"
        f"{command(service.gallery_command)}"
    )
    return _section(figure + how) if figure or how else ""


def _elsewhere(service: Service) -> str:
    """Return where the images come from, for classes that are not those which the command looks for by itself."""
    if service.classes == CIFAR10.classes:
        return ""
    return ", with <code>--data.root</code> and the folder of the model's images"


def _figure(service: Service) -> str:
    figures = service.report.figures if service.report else {}
    return report_figure("misclassified", figures["misclassified"]) if "misclassified" in figures else ""


def _section(content: str) -> str:
    return f'<div class="sections one"><section>{content}</section></div>'
