"""Many at once in the browser: long lists, several jobs marked together, the job fields that are folded away, limits, the live map."""

from __future__ import annotations

import os

from playwright.sync_api import expect

from tests.browser.conftest import Visit, poll_until
from tests.integration.conftest import Site

MANY = 900


def test_a_long_list_is_read_as_it_is_scrolled(admin: Visit, site: Site) -> None:
    page = admin.page
    folder = site.source.read / "many"
    folder.mkdir()
    for number in range(MANY):
        (folder / f"{number:04d}.txt").write_text(str(number))
    run = site.hub.run(
        site.hub.job(site.source.id, folder, site.destination.id, f"{site.destination.write}/many", name="Many")
    )
    assert site.hub.wait_ended(run)["files_done"] == MANY
    admin.go(f"runs/{run}")
    rows, table = page.locator("tr[data-row]"), page.locator("ff-files table")
    first, last = (page.locator(f'tr[aria-rowindex="{place}"]') for place in (2, MANY + 1))
    expect(first).to_be_in_viewport()

    def at_the_end() -> bool:
        page.locator("main").evaluate("main => { main.scrollTop = main.scrollHeight; }")
        return last.count() == 1

    poll_until(page, at_the_end, 30)
    expect(last).to_be_in_viewport()
    expect(table).to_have_attribute("aria-rowcount", str(MANY + 1))
    assert rows.count() < MANY / 4, "only what is in sight is in the document"
    page.locator("main").evaluate("main => { main.scrollTop = 0; }")
    expect(first).to_be_in_viewport()
    page.get_by_label("Part of a name").fill("0123")
    page.get_by_label("Part of a name").press("Enter")
    expect(rows).to_have_count(1)
    admin.judge()


def test_several_jobs_are_switched_off_and_deleted_together(admin: Visit, site: Site) -> None:
    page, api = admin.page, site.hub.client
    ids = [
        site.hub.job(
            site.source.id,
            site.source.read / "none",
            site.destination.id,
            f"{site.destination.write}/bulk-{name}",
            name=f"Bulk {name}",
            tags=["bulk", name],
        )
        for name in ("one", "two", "three")
    ]
    admin.go("jobs")
    page.get_by_label("Tag", exact=True).select_option("bulk")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_label("Choose all that are shown").check()
    bar = page.get_by_role("toolbar", name="3 chosen")
    bar.get_by_role("button", name="Disable").click()
    expect(page.locator("tbody").get_by_text("Disabled")).to_have_count(3)
    assert [api.get(f"/api/jobs/{job}")["enabled"] for job in ids] == [False] * 3
    page.get_by_label("Tag", exact=True).select_option("two")
    page.get_by_label("Choose the job Bulk two").check()
    page.get_by_role("toolbar", name="1 chosen").get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text("1 of 1 did not work")
    page.get_by_label("Choose the job Bulk two").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    page.locator("ff-confirm").get_by_role("button", name="Delete").click()
    expect(page.get_by_label("Choose the job Bulk two")).to_have_count(0)
    left = {job["id"] for job in api.pages("/api/jobs")}
    assert ids[1] not in left
    assert {ids[0], ids[2]} <= left
    # The refused start is an answer of 409, which a browser logs.
    admin.complaints = [one for one in admin.complaints if "409" not in one]
    admin.judge()


def test_what_is_folded_away_in_the_editor_arrives(admin: Visit, site: Site) -> None:
    page = admin.page
    job = site.hub.job(
        site.source.id,
        site.source.read / "watched",
        site.destination.id,
        f"{site.destination.write}/watched",
        name="Fields",
        deadline=5400,
        preserve=["mode"],
    )
    admin.go(f"jobs/{job}/edit")
    page.get_by_text("More: links, versions").click()
    expect(page.get_by_label("Give up after (hours)")).to_have_value("1.5")
    page.get_by_label("Symbolic links").select_option("follow")
    page.get_by_label("Versions kept when replacing").fill("3")
    page.get_by_label("Run when files arrive").check()
    page.get_by_label("Only with a marker file").fill(".done")
    page.get_by_label("Priority").fill("11")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Fill in what is marked")
    page.get_by_label("Priority").fill("9")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("ff-job h1")).to_have_text("Fields")
    stored = site.hub.client.get(f"/api/jobs/{job}")
    assert (stored["symlinks"], stored["keep_versions"], stored["priority"]) == ("follow", 3, 9)
    assert (stored["deadline"], stored["preserve"]) == (5400, ["mode"])
    assert stored["watch"] == {"settle": 5, "marker": ".done", "poll": None}
    site.hub.client.delete(f"/api/jobs/{job}")
    admin.judge()


def test_failed_files_are_found_by_their_reason(admin: Visit, site: Site) -> None:
    page = admin.page
    folder, target = site.source.read / "reasons", site.destination.write / "reasons"
    folder.mkdir()
    target.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(str(number))
    for number in range(3):
        (target / f"{number}.txt").write_text("another")
    run = site.hub.run(
        site.hub.job(site.source.id, folder, site.destination.id, target, name="Reasons", conflict="fail")
    )
    assert site.hub.wait_ended(run)["status"] == "partial"
    admin.go(f"runs/{run}")
    rows = page.locator("ff-files tr[data-row]")
    expect(rows).to_have_count(5)
    page.get_by_label("Reason", exact=True).select_option(label="exists (3)")
    expect(rows).to_have_count(3)
    page.get_by_label("Part of a name").fill("2")
    page.get_by_label("Part of a name").press("Enter")
    expect(rows).to_have_count(1)
    page.get_by_label("Reason", exact=True).select_option("")
    page.get_by_label("Part of a name").fill("")
    page.get_by_label("Part of a name").press("Enter")
    expect(rows).to_have_count(5)
    admin.judge()


def test_limits_by_the_hour_are_set_for_an_agent_and_for_the_hub(admin: Visit, site: Site) -> None:
    page, api = admin.page, site.hub.client
    path = f"/api/agents/{site.destination.id}"
    before = api.get(path)["bandwidth_timetable"]
    admin.go(f"agents/{site.destination.id}")
    page.get_by_role("button", name="Edit").click()
    dialog = page.locator("ff-agent-edit")
    dialog.get_by_role("button", name="Add hours").click()
    for day in ("Mon", "Tue", "Wed", "Thu", "Fri"):
        dialog.get_by_label(day).uncheck()
    dialog.get_by_role("button", name="Save").click()
    assert api.get(path)["bandwidth_timetable"] == before, "no day was chosen"
    dialog.get_by_label("Sun").check()
    dialog.get_by_label("From").fill("22:00")
    dialog.get_by_label("To").fill("06:30")
    dialog.get_by_label("MiB per second", exact=True).fill("2.5")
    dialog.get_by_label("Time zone").fill("Europe/Vienna")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("ff-agent dl.facts")).to_contain_text("other limits by the hour")
    entry = {"days": ["sun"], "from": "22:00", "to": "06:30", "limit": 5 * 2**19, "timezone": "Europe/Vienna"}
    assert api.get(path)["bandwidth_timetable"] == [entry]
    page.get_by_role("button", name="Edit").click()
    dialog.get_by_role("button", name="Remove entry 1").click()
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("ff-agent dl.facts")).not_to_contain_text("by the hour")
    assert api.get(path)["bandwidth_timetable"] == []
    admin.go("settings")
    limits = page.locator("ff-hub-limits")
    limits.get_by_role("button", name="Add hours").click()
    limits.get_by_role("button", name="Add hours").click()
    limits.get_by_label("MiB per second").nth(1).fill("0")
    limits.get_by_role("button", name="Remove entry 1").click()
    limits.get_by_label("To").fill("24:00")
    limits.get_by_role("button", name="Save").click()
    expect(limits.get_by_role("status")).to_have_text("Saved.")
    (stored,) = api.get("/api/settings")["bandwidth_timetable"]
    assert (stored["days"], stored["to"], stored["limit"]) == (["mon", "tue", "wed", "thu", "fri"], "24:00", 0)
    limits.get_by_role("button", name="Remove entry 1").click()
    limits.get_by_role("button", name="Save").click()
    poll_until(page, lambda: api.get("/api/settings")["bandwidth_timetable"] == [], 10)
    admin.judge()


def test_a_plan_shows_its_files_class_by_class(admin: Visit, site: Site) -> None:
    page = admin.page
    folder, target = site.source.read / "planned", site.destination.write / "planned"
    folder.mkdir()
    target.mkdir()
    for name in ("same.txt", "other.txt", "fresh.txt"):
        (folder / name).write_text(name)
    (target / "same.txt").write_bytes((folder / "same.txt").read_bytes())
    os.utime(target / "same.txt", ns=(folder.stat().st_atime_ns, (folder / "same.txt").stat().st_mtime_ns))
    (target / "other.txt").write_text("longer than it was")
    job = site.hub.job(site.source.id, folder, site.destination.id, target, name="Planned")
    admin.go(f"jobs/{job}")
    page.get_by_role("button", name="Plan").click()
    files = page.locator("ff-plan-entries")
    expect(files.get_by_role("row")).to_have_count(1)
    expect(files).to_contain_text("fresh.txt")
    for label, name in (("changed", "other.txt"), ("equal already", "same.txt")):
        files.get_by_role("button", name=label).click()
        expect(files.get_by_role("row")).to_have_count(1)
        expect(files).to_contain_text(name)
    assert not (target / "fresh.txt").exists(), "a plan moves nothing"
    admin.judge()


def test_the_map_says_what_a_run_waits_for(admin: Visit, site: Site) -> None:
    page = admin.page
    big = site.source.read / "wide.bin"
    big.write_bytes(os.urandom(256 * 2**20))
    run = site.hub.run(
        site.hub.job(site.source.id, big, site.destination.id, f"{site.destination.write}/wide/", name="Wide")
    )
    admin.go("map")
    expect(page.locator("ff-map")).to_contain_text("waits most for the way from the source to the hub")
    assert site.hub.show(run)["bottleneck"] == "uplink"
    expect(page.locator("ff-map .line.slow")).to_have_count(1)
    site.hub.client.post(f"/api/runs/{run}/cancel")
    site.hub.wait_ended(run)
    admin.judge()
