"""The documentation page works without internet."""

import re


async def test_page_and_its_files_come_from_here_alone(suite) -> None:
    async with suite().client() as client:
        page = await client.get("/docs")
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        answers = {path: await client.get(path) for path in linked if path.startswith("/")}
        missing = await client.get("/docs/passwd")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert {"/docs/docs.js", "/docs/docs.css", "/openapi.json"} <= set(answers)
    assert {a.status_code for a in answers.values()} == {200}
    assert not [path for path in linked if not path.startswith(("/", "data:"))]
    own = page.text + answers["/docs/docs.js"].text + answers["/docs/docs.css"].text
    assert "//" not in re.sub(r"^\s*//.*$", "", own, flags=re.MULTILINE)
    assert missing.status_code == 404
