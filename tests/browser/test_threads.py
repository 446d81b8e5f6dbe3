"""The list of conversations, and whom it belongs to."""

from .visitor import Visitor, expect


def test_list__of_one_person(visitor: Visitor):
    """Conversations are named, opened, archived, restored and deleted; a reload changes nothing."""
    visitor.open()
    visitor.ask("Add buy milk")
    expect(visitor.threads).to_have_count(1)
    visitor.page.get_by_role("button", name="New conversation").click()
    expect(visitor.messages).to_have_count(0)
    visitor.ask("Help")
    expect(visitor.threads).to_have_count(2)
    expect(visitor.threads.first).to_contain_text("Help")

    visitor.thread("Add buy milk").get_by_role("button").first.click()
    expect(visitor.messages).to_have_count(3)
    expect(visitor.answers).to_have_text(["create_todo", "Added “Buy milk”."])

    visitor.thread("Add buy milk").hover()
    visitor.page.get_by_role("button", name="Rename Add buy milk").click()
    name = visitor.page.get_by_role("textbox", name="Name of the conversation")
    name.fill("Groceries")
    name.press("Enter")
    expect(visitor.thread("Groceries")).to_be_visible()
    expect(visitor.thread("Add buy milk")).to_have_count(0)

    visitor.thread("Help").hover()
    with visitor.page.expect_response("**/archive"):
        visitor.page.get_by_role("button", name="Archive Help").click()
    expect(visitor.thread("Help")).to_have_count(0)

    visitor.reload()
    expect(visitor.threads).to_have_count(1)
    expect(visitor.thread("Groceries")).to_be_visible()
    visitor.page.get_by_role("checkbox", name="Show archived").check()
    expect(visitor.thread("Help")).to_contain_text("archived")
    visitor.thread("Help").hover()
    with visitor.page.expect_response(lambda answer: answer.request.method == "PATCH"):
        visitor.page.get_by_role("button", name="Restore Help").click()
    expect(visitor.thread("Help")).not_to_contain_text("archived")

    visitor.thread("Groceries").hover()
    visitor.page.get_by_role("button", name="Delete Groceries").click()
    question = visitor.page.get_by_role("group", name="Delete Groceries?")
    with visitor.page.expect_response(lambda answer: answer.request.method == "DELETE"):
        question.get_by_role("button", name="Delete").click()
    expect(visitor.thread("Groceries")).to_have_count(0)

    visitor.reload()
    expect(visitor.threads).to_have_count(1)
    expect(visitor.thread("Help")).to_be_visible()
    assert [thread["archived"] for thread in visitor.listed()] == [False]


def test_list__of_two_people(visit):
    """Each sees only what is theirs, even with the address of the other's conversation."""
    ada, bob = visit(), visit()
    ada.open()
    ada.ask("Add buy milk")
    thread = ada.runs()[0]["threadId"]

    bob.open(f"/?thread={thread}")

    expect(bob.page.get_by_text("This conversation is empty")).to_be_visible()
    expect(bob.messages).to_have_count(0)
    expect(bob.todos).to_have_count(0)
    assert [ada.listed()[0]["id"], bob.listed()] == [thread, []]
