"""What somebody can do about a refusal, in words. Pure. Deliberately not here: what was refused and why (the API)."""

from dataclasses import dataclass, field

from api.http.problems import Problem


@dataclass(frozen=True, slots=True)
class Advice:
    """``words``: what to do; ``links``: where, as path and name; ``again``: loading the page again may help."""

    words: str
    links: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    again: bool = False


_OVERVIEW = ("/", "The overview")


def advice_for(problem: Problem, retry_after: str | None) -> Advice:
    """``retry_after``: in seconds, as the answer's header says."""
    wait = f"in {retry_after} s" if retry_after and retry_after.isdecimal() else "in a moment"
    match problem.status:
        case 401:
            return Advice("Sign in, and do it again.", [("/sign-in", "Sign in")])
        case 403:
            words = "What you may do stands under Access. Ask somebody who may, or an admin for the role."
            return Advice(words, [("/access", "What you may do"), ("/sign-in", "Sign in as somebody else")])
        case 404 | 410:
            words = (
                "The address may be mistyped, or what was there is older than the server keeps. Look for it in a list."
            )
            return Advice(words, [("/jobs", "Jobs"), ("/deployments", "Deployments"), ("/services", "Services")])
        case 405 | 415 | 400:
            return Advice("Go back and use the form of the page.", [_OVERVIEW])
        case 409 | 412:
            words = (
                "Somebody else was faster, or it has moved on. Go back, load the page again, and look how it stands."
            )
            return Advice(words, [_OVERVIEW], again=True)
        case 413:
            return Advice("Send less: shorten the text, or put it into a file of the repository.", [_OVERVIEW])
        case 421:
            return Advice("Open the server by the address that `hybridci up` printed, or have an admin name this one.")
        case 429:
            return Advice(f"Nothing is lost. Try it again {wait}.", again=True)
        case 503:
            words = (
                f"Nothing is lost: what was accepted goes on. Try it again {wait}. What is down the health page tells."
            )
            return Advice(words, [("/health/system", "Health")], again=True)
        case 422:
            return Advice("Go back and correct what is named above.", [_OVERVIEW])
        case _:
            return Advice("It was written into the server's log. Try it again; when it stays, report it.", [_OVERVIEW])
