"""The page of commands, from the parser that the command line itself uses."""

import argparse

from aikd.cli import parser


def part(_: str) -> str:
    """A section for each command: what it does, how it is called, and what each argument means."""
    (commands,) = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    lines = [f"- [`aikd {name}`](#aikd-{name}): {sub.description}" for name, sub in commands.choices.items()]
    return "\n\n".join(["\n".join(lines), *(_command(name, sub) for name, sub in commands.choices.items())])


def _command(name: str, sub: argparse.ArgumentParser) -> str:
    actions = [a for a in sub._actions if not isinstance(a, argparse._HelpAction)]
    actions.sort(key=lambda a: bool(a.option_strings))  # what has no name first, as one types it
    groups = {id(a): group for group in sub._mutually_exclusive_groups for a in group._group_actions}
    words = [f"aikd {name}"]
    for action in actions:
        group = groups.get(id(action))
        if group is None:
            words.append(_usage(action, action.required))
        elif action is group._group_actions[0]:
            choice = " | ".join(_usage(a, True) for a in group._group_actions)
            words.append(f"({choice})" if group.required else f"[{choice}]")
    rows = [f"| {_names(a)} | {_cell(a.help or '')} |" for a in actions]
    table = ["| argument | meaning |", "|---|---|", *rows] if rows else ["It takes no arguments."]
    return f"## aikd {name}\n\n{sub.description}\n\n```text\n{_wrapped(words)}\n```\n\n" + "\n".join(table)


def _value(action: argparse.Action) -> str:
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def _usage(action: argparse.Action, required: bool) -> str:
    """An argument as usage lines have it."""
    if action.option_strings:
        text = action.option_strings[-1] + ("" if action.nargs == 0 else f" {_value(action)}")
        return text if required else f"[{text}]"
    value = _value(action)
    forms = {"?": value if required else f"[{value}]", "*": f"[{value} …]", "+": f"{value} [{value} …]"}
    return forms.get(str(action.nargs), value)


def _names(action: argparse.Action) -> str:
    options = ", ".join(f"`{name}`" for name in action.option_strings)
    if not options:
        return f"`{_value(action)}`"
    return options if action.nargs == 0 else f"{options} `{_value(action)}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("%%", "%").split()).replace("|", "\\|")


def _wrapped(words: list[str], width: int = 100) -> str:
    """Usage in lines that a page shows whole."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > width:
            lines.append("    " + word)
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)
