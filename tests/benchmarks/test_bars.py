from benchmarks.bars import at_least, at_most, exit_status, show_bars, skipped, void


def test_a_limit_itself_passes():
    assert at_most("late", 10.0, 10.0, "ms").verdict == "pass"
    assert at_most("late", 10.1, 10.0, "ms").verdict == "FAIL"
    assert at_least("calls", 200, 200, "calls").verdict == "pass"
    assert at_least("calls", 199, 200, "calls").verdict == "FAIL"


def test_a_disturbed_run_can_pass_but_not_fail():
    assert at_most("late", 9.0, 10.0, "ms", disturbed=True).verdict == "pass"
    missed = at_most("late", 11.0, 10.0, "ms", disturbed=True, baseline="4 ms alone")
    assert missed.verdict == "void"
    assert "other processes" in missed.baseline
    assert "4 ms alone" in missed.baseline


def test_nothing_measured_proves_nothing():
    assert at_most("late", float("nan"), 10.0, "ms").verdict == "void"


def test_the_exit_status_is_1_unless_everything_was_shown():
    good = at_most("late", 1.0, 10.0, "ms")
    assert exit_status([good, skipped("local", 1500, "ms", "not installed")]) == 0
    assert exit_status([good, at_most("late", 11.0, 10.0, "ms")]) == 1
    assert exit_status([good, void("late", 10.0, "ms", "no run")]) == 1
    assert exit_status([]) == 0


def test_each_bar_is_a_line_with_its_verdict():
    shown = show_bars([at_most("late", 12.345, 10.0, "ms"), void("calls", 200, "calls", "no run")])
    heading, rule, late, calls = shown.splitlines()
    assert heading.split() == ["bar", "measured", "limit", "beside"]
    assert set(rule.strip()) == {"-", " "}
    assert late.split() == ["late", "12.35", "ms", "10", "ms", "FAIL"]
    assert calls.split() == ["calls", "-", "200", "calls", "void", "no", "run"]
