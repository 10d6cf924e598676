"""What the API says, in the rows of dense pages."""

from api.dashboard.sentences import joined, plainly


def test_a_row_that_leads_to_a_button_names_no_command() -> None:
    waits = "1.2 waits for approval of production: 0 of 1 are given, until 12:00 UTC. `hybridci deploy approve 1f`"
    assert plainly(waits) == "1.2 waits for approval of production: 0 of 1 are given, until 12:00 UTC."
    stays = "7.0 stays at 10 % until somebody lets it go on. Go on now: `promote` (at once: `--full`); back: `abort`"
    assert plainly(stays) == "7.0 stays at 10 % until somebody lets it go on."
    assert plainly("Start one: `hybridci agent`") == "Start one: `hybridci agent`", "better than nothing"
    assert plainly(None) == ""


def test_what_was_said_by_several_has_one_sign_between() -> None:
    assert (
        joined(["production is on hold.", "The database is moved."]) == "production is on hold; The database is moved."
    )
    assert joined([None, " ", "No tests"]) == "No tests"
    assert joined([]) == ""
