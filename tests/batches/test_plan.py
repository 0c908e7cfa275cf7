"""The plan of a batch: no two targets in one place, nothing lost between shards, honest totals."""

from __future__ import annotations

import random
from pathlib import Path, PurePath
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.batches.plan import Estimate, describe, estimate, make_plan, parse_shard, shard
from stylize.batches.tasks import Look, Task
from stylize.errors import SettingError, UsageError
from stylize.images.find import Found, collect
from stylize.planning.cost import picture_cost
from stylize.planning.memory import reading_bytes
from stylize.settings.dream import DreamSettings
from stylize.settings.transfer import TransferSettings

PLAIN = Look("", DreamSettings())
OUT = Path("out")
MACHINE = {"architecture": "vgg16", "precision": "fp32", "gflops": 100.0}


def found(path: str, relative: str | None = None, size: tuple[int, int] | None = (2, 3)) -> Found:
    return Found(Path("in", path), PurePath(relative or path), size, None if size else "damaged")


def looks(*names: str) -> list[Look]:
    return [Look(name, PLAIN.settings) for name in names]


def plan(*paths: str, names: tuple[str, ...] = ("",), suffix: str = ".png") -> list[str]:
    """Targets below the output, in the order of the tasks."""
    tasks = make_plan([found(path) for path in paths], looks(*names), OUT, suffix=suffix)
    return [task.target.relative_to(OUT).as_posix() for task in tasks]


class TestTargets:
    def test_the_tree_is_mirrored(self) -> None:
        assert plan("b.jpg", "x/y/a.tar.gif", suffix=".webp") == ["b.webp", "x/y/a.tar.webp"]

    def test_picture_by_picture_look_by_look(self) -> None:
        targets = plan("b.jpg", "a.jpg", names=("bold", "van-gogh"))
        assert targets == ["b-bold.png", "b-van-gogh.png", "a-bold.png", "a-van-gogh.png"]

    def test_a_task_knows_its_source(self) -> None:
        good, bad = found("a.jpg"), found("b.jpg", size=None)
        assert make_plan([good, bad], [PLAIN], OUT) == [
            Task(Path("in/a.jpg"), Path("out/a.png"), PLAIN, (2, 3)),
            Task(Path("in/b.jpg"), Path("out/b.png"), PLAIN, None),
        ]

    def test_the_suffix_of_the_source_tells_apart(self) -> None:
        assert plan("a.jpg", "a.png", "b.jpg") == ["a-jpg.png", "a-png.png", "b.png"]
        assert plan("a.JPG", "a", names=("x",)) == ["a-jpg-x.png", "a-x.png"]

    def test_then_a_number(self) -> None:
        assert plan("a.jpg", "A.JPG") == ["a-jpg-2.png", "A-jpg.png"]
        assert plan("a.jpg", "a.png", "a-jpg.gif") == ["a-jpg-2.png", "a-png.png", "a-jpg.png"]
        assert plan("x/a.jpg", "X/a.jpg") == ["x/a-jpg-2.png", "X/a-jpg.png"]

    @pytest.mark.parametrize(
        ("made", "expected"),
        [
            ({"a.png": "in/a.png"}, ["a-jpg.png", "a.png", "b.png"]),
            ({"b-jpg-2.png": "in/b.jpg"}, ["a-jpg.png", "a-png.png", "b-jpg-2.png"]),
            ({"a.png": "in/a.png", "a-png.png": "in/a.png"}, ["a-jpg.png", "a-png.png", "b.png"]),
            ({"../a.png": "in/a.jpg", "a-7.png": "in/a.jpg"}, ["a-jpg.png", "a-png.png", "b.png"]),
            ({"b.png": "in/a.jpg", "a.webp": "in/a.png"}, ["a-jpg.png", "a-png.png", "b.png"]),
        ],
    )
    def test_what_was_made_keeps_its_name(self, made: dict[str, str], expected: list[str]) -> None:
        pictures = [found(name) for name in ("a.jpg", "a.png", "b.jpg")]
        tasks = make_plan(pictures, [PLAIN], OUT, made=made)
        assert [task.target.name for task in tasks] == expected

    def test_accents_in_two_spellings(self) -> None:
        one, other = (normalize(form, "é") for form in ("NFC", "NFD"))
        assert plan(f"{one}.jpg", f"{other}.gif") == [f"{one}-jpg.png", f"{other}-gif.png"]

    def test_a_folder_that_is_called_like_a_target(self) -> None:
        assert plan("a.jpg", "A.png/b.jpg") == ["a-jpg.png", "A.png/b.png"]

    def test_many_of_one_name(self) -> None:
        many = [found(f"{number}/a.jpg", "a.jpg") for number in range(3000)]
        targets = [task.target.name for task in make_plan(many, [PLAIN], OUT)]
        assert targets[:2] == ["a-jpg.png", "a-jpg-2.png"]
        assert targets[-1] == "a-jpg-3000.png"

    def test_names_that_some_system_cannot_hold(self) -> None:
        assert plan('x?/..a|"b\n.jpg', ".png") == ["x_/__a__b_.png", "_png.png"]
        assert plan("x?/a.jpg", "x_/a.gif") == ["x_/a-jpg.png", "x_/a-gif.png"]

    def test_no_way_out_of_the_output(self) -> None:
        assert plan("../../a.jpg", "/etc/b.jpg") == ["__/__/a.png", "_/etc/b.png"]

    def test_long_names(self) -> None:
        first, second = plan("é" * 110 + "1.jpg", "é" * 110 + "2.jpg", names=("look",))
        assert first != second
        for name in (first, second):
            assert len(name.encode()) < 200
            assert name.endswith("-look.png")

    def test_a_long_name_of_a_look_leaves_room(self) -> None:
        one, other = plan("photo.jpg", names=("a" * 300, "a" * 301))
        assert one != other
        assert one.startswith("photo-aaaa")
        assert len(one) < 200


class TestSourcesAreKept:
    def test_a_target_that_is_a_source(self, tmp_path: Path) -> None:
        source = Found(tmp_path / "a.PNG", PurePath("a.PNG"), (2, 3), None)
        for output in (tmp_path, tmp_path / "x" / ".."):
            with pytest.raises(UsageError, match=r"a\.png is an input of this batch"):
                make_plan([source], [PLAIN], output)
        assert make_plan([source], [PLAIN], tmp_path, suffix=".webp")
        assert make_plan([source], looks("bold"), tmp_path)

    @pytest.mark.parametrize("linked", ["the output", "the source's folder", "the source"])
    def test_by_way_of_a_link(self, tmp_path: Path, linked: str) -> None:
        source = tmp_path / "photos" / "a.png"
        source.parent.mkdir()
        source.touch()
        (tmp_path / "link").symlink_to("photos")
        (tmp_path / "other.png").symlink_to(source)
        path, output = {
            "the output": (source, tmp_path / "link"),
            "the source's folder": (tmp_path / "link" / "a.png", source.parent),
            "the source": (tmp_path / "other.png", source.parent),
        }[linked]
        with pytest.raises(UsageError, match="is an input"):
            make_plan([Found(path, PurePath("a.png"), (2, 3), None)], [PLAIN], output)

    def test_another_picture_of_the_batch(self) -> None:
        pictures = [found("a.jpg"), found("a-bold.png")]
        with pytest.raises(UsageError, match=r"a-bold\.png is an input"):
            make_plan(pictures, looks("bold"), Path("in"))

    def test_a_style(self) -> None:
        styled = Look("", TransferSettings(), (Path("in/a.png"),))
        with pytest.raises(UsageError, match=r"a\.png is an input"):
            make_plan([found("a.jpg")], [styled], Path("in"))


NAMES = st.text("aAé\u0301ßsS.:\udcff1-", min_size=1, max_size=4) | st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300
)
PATHS = st.lists(
    st.builds(
        lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
        st.lists(NAMES, max_size=2),
        NAMES,
        st.sampled_from(["", ".jpg", ".JPG", ".png", ".a" * 99]),
    ),
    max_size=12,
)
MANY_LOOKS = st.lists(NAMES, min_size=1, max_size=3, unique=True)


def as_any_system_sees(target: Path) -> str:
    return normalize("NFC", normalize("NFD", str(target)).casefold())


class TestWhateverTheNames:
    @given(PATHS, MANY_LOOKS)
    def test_every_target_is_in_a_place_of_its_own(
        self, paths: list[str], names: list[str]
    ) -> None:
        """Also when a path is there twice, or others were there before."""
        before = make_plan([found(path) for path in paths[::2]], looks(*names), OUT)
        made = {task.target.relative_to(OUT).as_posix(): str(task.source) for task in before}
        tasks = make_plan([found(path) for path in paths], looks(*names), OUT, made=made)
        assert len(tasks) == len(paths) * len(names)
        seen = {as_any_system_sees(task.target) for task in tasks}
        assert len(seen) == len(tasks)
        folders = {as_any_system_sees(each) for task in tasks for each in task.target.parents}
        assert not seen & folders

    @given(PATHS, MANY_LOOKS)
    def test_every_target_is_below_the_output(self, paths: list[str], names: list[str]) -> None:
        for task in make_plan([found(path) for path in paths], looks(*names), OUT):
            below = task.target.relative_to(OUT)
            assert task.target.suffix == ".png"
            for part in below.parts:
                assert not part.startswith(".")
                assert not set(part) & set('<>:"|?*\\\n')
                assert len(part.encode("utf-8", "surrogatepass")) < 200

    @given(PATHS.map(lambda paths: sorted(set(paths))), MANY_LOOKS, st.randoms())
    def test_the_order_of_discovery_does_not_matter(
        self, paths: list[str], names: list[str], shuffler: random.Random
    ) -> None:
        pictures = [found(f"{number}/{path}", path) for number, path in enumerate(paths)]
        expected = {
            (t.source, t.look.name): t.target for t in make_plan(pictures, looks(*names), OUT)
        }
        shuffler.shuffle(pictures)
        shuffled = make_plan(pictures, looks(*names), OUT)
        assert {(t.source, t.look.name): t.target for t in shuffled} == expected


def test_from_the_folder_to_the_plan(tmp_path: Path) -> None:
    """What is collected in one order or another is planned alike."""
    for name in ("a.jpg", "A.jpg", "b/a.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    collection = collect([str(tmp_path / "in")], recursive=True, output=tmp_path / "out")
    tasks = make_plan(collection.found, [PLAIN], tmp_path / "out")
    if len(tasks) == 3:  # where a and A are two files
        targets = [task.target.relative_to(tmp_path / "out").as_posix() for task in tasks]
        assert targets == ["A-jpg.png", "a-jpg-2.png", "b/a.png"]
    assert all(task.size is None for task in tasks)


class TestShards:
    @given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 9))
    def test_every_task_is_in_one_shard_and_all_are_alike(
        self, pictures: int, kinds: int, count: int
    ) -> None:
        names = [f"look{number}" for number in range(kinds)]
        tasks = make_plan([found(f"{i}.jpg") for i in range(pictures)], looks(*names), OUT)
        shards = [shard(tasks, index, count) for index in range(1, count + 1)]
        everything = [task.target for each in shards for task in each]
        assert sorted(everything) == sorted(task.target for task in tasks)
        for each in shards:
            assert each == sorted(each, key=tasks.index)
        for name in (*names, None):
            numbers = [sum(name in (None, t.look.name) for t in each) for each in shards]
            assert max(numbers) - min(numbers) <= 1

    def test_one_of_one_is_all(self) -> None:
        tasks = make_plan([found("a.jpg"), found("b.jpg")], looks("x", "y"), OUT)
        assert shard(tasks, 1, 1) == tasks

    @pytest.mark.parametrize(("index", "count"), [(0, 2), (3, 2), (1, 0), (-1, 2)])
    def test_no_such_shard(self, index: int, count: int) -> None:
        with pytest.raises(SettingError, match=f"no shard {index} of {count}"):
            shard([], index, count)

    def test_as_it_is_written(self) -> None:
        assert parse_shard("2/8") == (2, 8)
        assert parse_shard(" 1/1 ") == (1, 1)

    @pytest.mark.parametrize(
        "text", ["", "2", "2/", "a/b", "1/2/3", "-1/2", "1.0/2", "1/" + 10 * "9"]
    )
    def test_what_is_no_shard(self, text: str) -> None:
        with pytest.raises(SettingError, match="is not a shard"):
            parse_shard(text)

    @pytest.mark.parametrize("text", ["0/2", "3/2", "1/0"])
    def test_out_of_range(self, text: str) -> None:
        with pytest.raises(SettingError, match="counted from 1"):
            parse_shard(text)


class TestEstimate:
    def test_adds_up(self) -> None:
        dream, transfer = DreamSettings(size="100"), TransferSettings(size="original")
        kinds = [Look(s.TECHNIQUE, s) for s in (dream, transfer)]
        pictures = [
            found(f"{i}.jpg", size=size) for i, size in enumerate([(200, 400)] * 2 + [None])
        ]
        total = estimate(make_plan(pictures, kinds, OUT), **MACHINE)
        small = picture_cost(dream, (50, 100), **MACHINE)
        large = picture_cost(transfer, (200, 400), **MACHINE)
        assert (total.pictures, total.unreadable) == (6, 2)
        assert total.megapixels == pytest.approx(2 * (0.005 + 0.08))
        assert total.tflop == pytest.approx(2 * (small.tflop + large.tflop))
        assert total.seconds == pytest.approx(2 * ((small.seconds or 0) + (large.seconds or 0)))
        result = max(small.peak_bytes, large.peak_bytes)
        assert total.peak_bytes == result + reading_bytes((200, 400))

    def test_time_needs_a_measured_machine(self) -> None:
        tasks = make_plan([found("a.jpg")], [PLAIN], OUT)
        assert estimate(tasks, **MACHINE | {"gflops": None}).seconds is None

    def test_nothing_to_do(self) -> None:
        assert estimate([], **MACHINE) == Estimate(0, 0, 0, 0, 0, 0)

    def test_several_networks(self) -> None:
        kinds = [
            Look(name, DreamSettings(network=name, layers=layer))
            for name, layer in (("vgg19", "conv4_4"), ("mine", "conv4_3"))
        ]
        tasks = make_plan([found("a.jpg", size=(300, 300))], kinds, OUT)
        known = {"vgg19": "vgg19", "mine": "vgg16"}
        both = estimate(tasks, **MACHINE | {"architecture": known})
        mine = estimate(tasks[1:], **MACHINE)
        assert both.tflop > 2 * mine.tflop
        assert both.peak_bytes > mine.peak_bytes


class TestDescription:
    def test_in_full(self) -> None:
        pictures = [found("a\n.jpg"), found("b.jpg", size=None)]
        total = Estimate(2, 1, 1.25, 3.21, 95.4, 1.44e9)
        assert describe(make_plan(pictures, [PLAIN], OUT), total) == [
            "in/a.jpg -> out/a_.png",
            "in/b.jpg -> out/b.png (cannot be read)",
            "2 pictures, 1 of them cannot be read, 1.2 MP, 3.2 TFLOP, about 1.4 GB of memory,"
            " about 95 s",
        ]

    def test_without_what_is_not_known(self) -> None:
        total = Estimate(1, 0, 1, 3, None, 1e9)
        assert describe([], total) == ["1 picture, 1.0 MP, 3.0 TFLOP, about 1.0 GB of memory"]

    @pytest.mark.parametrize(
        ("seconds", "reported"), [(0.2, "0 s"), (119, "119 s"), (720, "12 min"), (12_600, "3.5 h")]
    )
    def test_time_in_words(self, seconds: float, reported: str) -> None:
        (line,) = describe([], Estimate(1, 0, 1, 3, seconds, 1e9))
        assert line.endswith(f", about {reported}")
