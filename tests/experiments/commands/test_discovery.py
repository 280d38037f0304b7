"""Each command is found by the name of its file, without importing another one."""

from prismlab.experiments import main


def test_a_command_is_found_by_the_name_of_its_file_alone():
    every = list(main.found())
    assert len(every) > 20
    for module in every:
        assert list(main.found([*module.NAME.split(), "x"])) == [module], "name the file as the command"
    for words in (
        [],
        ["--help"],
        ["data"],
        ["data", "--help"],
        ["trian", "x"],
        ["run", "unit"],
        ["shared_model"],
    ):
        assert list(main.found(words)) == every
