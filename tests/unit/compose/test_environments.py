from __future__ import annotations

import pytest

from compose_runner.compose.environments import environment_named


@pytest.mark.parametrize(
    ("name", "compose", "neurostore"),
    [
        ("production", "https://compose.neurosynth.org/api", "https://neurostore.org/api"),
        ("staging", "https://staging.synth.neurostore.xyz/api", "https://staging.neurostore.xyz/api"),
        ("development", "https://dev.synth.neurostore.xyz/api", "https://dev.neurostore.xyz/api"),
        ("local", "http://localhost:81/api", "http://localhost:80/api"),
        (" Staging ", "https://staging.synth.neurostore.xyz/api", "https://staging.neurostore.xyz/api"),
        ("testing", "https://compose.neurosynth.org/api", "https://neurostore.org/api"),
        ("", "https://compose.neurosynth.org/api", "https://neurostore.org/api"),
        (None, "https://compose.neurosynth.org/api", "https://neurostore.org/api"),
    ],
)
def test_every_word_names_an_environment(name: str | None, compose: str, neurostore: str) -> None:
    environment = environment_named(name, {})
    assert (environment.compose_api, environment.neurostore_api) == (compose, neurostore)


def test_hosts_can_be_replaced_by_settings() -> None:
    environment = environment_named("staging", {"COMPOSE_API_URL": "http://127.0.0.1:8000/api/"})
    assert environment.compose_api == "http://127.0.0.1:8000/api"
    assert environment.neurostore_api == "https://staging.neurostore.xyz/api"


def test_the_page_of_a_meta_analysis_is_the_one_that_people_open() -> None:
    page = environment_named("production", {}).find_page("ataCTPAt2LMw")
    assert page == "https://compose.neurosynth.org/meta-analyses/ataCTPAt2LMw"
