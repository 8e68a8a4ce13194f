"""Each corpus is read from its published layout, and a wrong folder says what was expected and found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.data.corpora.layouts import recording, text
from train.data.corpora.catalogue import CORPORA
from train.data.corpora.layout import LayoutError

Row = tuple[str, str, str, str | None]


def rows(name: str, root: Path, duplicates: int | None = None) -> list[Row]:
    """Set, path below the root, text and speaker of every item, all of whose recordings are there."""
    items = list(CORPORA[name].read(root, duplicates))
    assert all(item.audio.is_file() for item in items)
    return [(i.split, str(i.audio.relative_to(root)), i.text, i.speaker) for i in items]


def test_librispeech_keeps_its_sets(tmp_path: Path) -> None:
    for subset, speaker, chapter in (
        ("train-clean-100", "19", "198"),
        ("dev-clean", "84", "121123"),
    ):
        folder = tmp_path / "LibriSpeech" / subset / speaker / chapter
        lines = "".join(f"{speaker}-{chapter}-000{n} WORD {n}\n" for n in range(2))
        text(folder / f"{speaker}-{chapter}.trans.txt", lines)
        for n in range(2):
            recording(folder / f"{speaker}-{chapter}-000{n}.flac")
    text(tmp_path / "LibriSpeech" / "README.TXT", "")
    want: list[Row] = [
        ("dev-clean", "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac", "WORD 0", "84"),
        ("dev-clean", "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac", "WORD 1", "84"),
        ("train-clean-100", "LibriSpeech/train-clean-100/19/198/19-198-0000.flac", "WORD 0", "19"),
        ("train-clean-100", "LibriSpeech/train-clean-100/19/198/19-198-0001.flac", "WORD 1", "19"),
    ]
    assert rows("librispeech", tmp_path) == want
    inner = rows("librispeech", tmp_path / "LibriSpeech")
    assert [row[2:] for row in inner] == [row[2:] for row in want]


COMMON_VOICE_COLUMNS = {
    "2 (2019)": "client_id path sentence up_votes down_votes age gender accent",
    "5.1 (2020)": "client_id path sentence up_votes down_votes age gender accent locale segment",
    "10.0 (2022)": "client_id path sentence up_votes down_votes age gender accents locale segment",
    "13.0 (2023)": "client_id path sentence up_votes down_votes age gender accents variant locale segment",
    "17.0 (2024)": "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender "
    "accents variant locale segment",
}


def common_voice(root: Path, columns: str, tables: dict[str, list[tuple[str, str, str]]]) -> Path:
    """Write a release: rows of client_id, path and sentence by table, other columns filled in."""
    names = columns.split()
    (root / "clips").mkdir(parents=True)
    for table, entries in tables.items():
        lines = ["\t".join(names)]
        for client, path, sentence in entries:
            known = {"client_id": client, "path": path, "sentence": sentence, "up_votes": "2"}
            lines.append("\t".join(known.get(name, "") for name in names))
            if not (clip := root / "clips" / f"{path.removesuffix('.mp3')}.mp3").exists():
                recording(clip, rate=32000)
        text(root / f"{table}.tsv", "\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("columns", COMMON_VOICE_COLUMNS.values(), ids=COMMON_VOICE_COLUMNS)
def test_common_voice_is_read_in_all_its_generations_of_columns(
    columns: str, tmp_path: Path
) -> None:
    root = common_voice(
        tmp_path / "cv-corpus-17.0-2024-03-15" / "fr",
        columns,
        {
            "train": [("a1", "common_voice_fr_1.mp3", 'Il dit "non".'), ("a2", "0f3c", "Oui.")],
            "dev": [("b1", "common_voice_fr_3.mp3", "Peut-être…")],
            "test": [("c1", "common_voice_fr_4.mp3", '"Jamais')],
        },
    )
    assert rows("commonvoice", root) == [
        ("dev", "clips/common_voice_fr_3.mp3", "Peut-être…", "b1"),
        ("test", "clips/common_voice_fr_4.mp3", '"Jamais', "c1"),
        ("train", "clips/common_voice_fr_1.mp3", 'Il dit "non".', "a1"),
        ("train", "clips/0f3c.mp3", "Oui.", "a2"),
    ]


def test_common_voice_takes_more_of_what_is_validated_when_duplicates_are_wanted(
    tmp_path: Path,
) -> None:
    validated = [
        ("a1", "1.mp3", "Oui."),
        ("a2", "2.mp3", "Oui."),
        ("b1", "5.mp3", "Bonjour."),  # a speaker of dev
        ("a3", "6.mp3", "Jamais."),  # a sentence of test
        ("a3", "7.mp3", "Oui."),
    ]
    root = common_voice(
        tmp_path / "fr",
        COMMON_VOICE_COLUMNS["17.0 (2024)"],
        {
            "train": [("a1", "1.mp3", "Oui.")],
            "dev": [("b1", "3.mp3", "Non.")],
            "test": [("c1", "4.mp3", "Jamais.")],
            "validated": validated,
        },
    )
    train = [row[1] for row in rows("commonvoice", root, duplicates=2) if row[0] == "train"]
    assert train == ["clips/1.mp3", "clips/2.mp3", "clips/7.mp3"]  # preparation counts the repeats


def test_the_first_common_voice_has_csv_files(tmp_path: Path) -> None:
    header = "filename,text,up_votes,down_votes,age,gender,accent,duration"
    for split in ("train", "dev", "test"):
        name = f"cv-valid-{split}/sample-000000.mp3"
        text(tmp_path / f"cv-valid-{split}.csv", f'{header}\n{name},"well, yes",1,0,,,,\n')
        recording(tmp_path / name)
    assert rows("commonvoice", tmp_path)[0] == (
        "train", "cv-valid-train/sample-000000.mp3", "well, yes", None
    )  # fmt: skip


def test_a_folder_of_languages_asks_for_one(tmp_path: Path) -> None:
    for language in ("en", "fr"):
        (tmp_path / language / "clips").mkdir(parents=True)
    with pytest.raises(LayoutError, match="holds en, fr: name the folder of one language"):
        rows("commonvoice", tmp_path)


@pytest.mark.parametrize("suffix", [".flac", ".opus"])
def test_mls_in_both_editions(suffix: str, tmp_path: Path) -> None:
    for split, speaker in (("train", "1591"), ("dev", "2825"), ("test", "10065")):
        name = f"{speaker}_1653_000000"
        text(tmp_path / split / "transcripts.txt", f"{name}\tla marquise d'espard\n")
        recording(tmp_path / split / "audio" / speaker / "1653" / f"{name}{suffix}")
    text(tmp_path / "train" / "limited_supervision" / "9hr" / "handles.txt", "1591_1653_000000\n")
    assert rows("mls", tmp_path) == [
        (
            "train",
            f"train/audio/1591/1653/1591_1653_000000{suffix}",
            "la marquise d'espard",
            "1591",
        ),
        ("dev", f"dev/audio/2825/1653/2825_1653_000000{suffix}", "la marquise d'espard", "2825"),
        (
            "test",
            f"test/audio/10065/1653/10065_1653_000000{suffix}",
            "la marquise d'espard",
            "10065",
        ),
    ]


def test_mailabs_takes_the_normalised_text_and_the_reader(tmp_path: Path) -> None:
    books = {"female/ezwa/monsieur_lecoq": "ezwa", "mix/mysteres": None}
    for book in books:
        folder = tmp_path / "fr_FR" / "by_book" / book
        name = "monsieur_lecoq_01_f000001"
        text(folder / "metadata.csv", f"{name}|Le 20 février 18..,|Le vingt février,\n")
        text(folder / "metadata_mls.json", "{}")
        recording(folder / "wavs" / f"{name}.wav")
    assert [row[2:] for row in rows("mailabs", tmp_path)] == [
        ("Le vingt février,", "ezwa"), ("Le vingt février,", None)
    ]  # fmt: skip


def test_lingua_libre_is_spelt_by_its_file_names(tmp_path: Path) -> None:
    root = tmp_path / "Q21-fra-French"
    for name in ("0x010C/aujourd'hui.ogg", "Lyokoï/à_la_carte.ogg", "Lyokoï/._à.ogg"):
        recording(root / name)
    text(root / "LICENSE.txt", "")
    assert rows("lingualibre", root) == [
        ("train", "0x010C/aujourd'hui.ogg", "aujourd'hui", "0x010C"),
        ("train", "Lyokoï/à_la_carte.ogg", "à la carte", "Lyokoï"),
    ]


def test_slr57_finds_recordings_by_name_below_their_folder(tmp_path: Path) -> None:
    root = tmp_path / "African_Accented_French"
    lists = {
        "transcripts/train/yaounde/fn_text.txt": "/data/sri/read/ctell1/ctell1-01-0001.wav il va bien",
        "transcripts/train/ca16_conv/transcripts.txt": "conv/1/gabon_conv_01_x_002.tdf oui c'est ça",
        "transcripts/train/ca16_read/conditioned.txt": "gabon_read_02_x_003 je lis",
        "transcripts/dev/niger_west_african_fr/transcripts.txt": "niger_fr_001_004.wav\tbonjour",
        "transcripts/devtest/ca16_read/conditioned.txt": "gabon_read_09_x_005 un deux",
        "transcripts/test/ca16/prompts.txt": "gabon_read_11_x_006 Trois, quatre.",
    }
    for path, line in lists.items():
        text(root / path, line + "\n")
    for path in (
        "train/yaounde/read/ctell1-01/ctell1-01-0001.wav",
        "train/yaounde/answers/ctell1-01/ctell1-01-001.wav",  # in no list
        "train/ca16/conv/01/gabon_conv_01_x_002.wav",
        "train/ca16/read/02/gabon_read_02_x_003.wav",
        "dev/niger_west_african_fr/001/niger_fr_001_004.wav",
        "devtest/ca16/read/09/gabon_read_09_x_005.wav",
        "test/ca16/11/gabon_read_11_x_006.wav",
    ):
        recording(root / "speech" / path)
    assert [(row[0], *row[2:]) for row in rows("slr57", tmp_path)] == [
        ("train", "il va bien", "ctell1-01"),
        ("train", "oui c'est ça", "01"),
        ("train", "je lis", "02"),
        ("dev", "bonjour", "001"),
        ("devtest", "un deux", "09"),
        ("test", "Trois, quatre.", "11"),
    ]


def test_training_speech_is_one_table(tmp_path: Path) -> None:
    text(tmp_path / "data.csv", 'path,duration,text\nfr/a_1.wav,0.25,"Oui, dit-il."\n')
    recording(tmp_path / "fr/a_1.wav")
    assert rows("trainingspeech", tmp_path) == [("train", "fr/a_1.wav", "Oui, dit-il.", None)]


def test_an4_of_spheres(tmp_path: Path) -> None:
    text(tmp_path / "etc/an4_train.fileids", "an4_clstk/fash/an251-fash-b\n")
    text(tmp_path / "etc/an4_train.transcription", "<s> YES </s> (an251-fash-b)\n")
    text(tmp_path / "etc/an4_test.fileids", "an4test_clstk/fcaw/an406-fcaw-b\n")
    text(tmp_path / "etc/an4_test.transcription", "RUBOUT G M (an406-fcaw-b)\n")
    recording(tmp_path / "wav/an4_clstk/fash/an251-fash-b.sph")
    recording(tmp_path / "wav/an4test_clstk/fcaw/an406-fcaw-b.sph")
    assert rows("an4", tmp_path) == [
        ("train", "wav/an4_clstk/fash/an251-fash-b.sph", "YES", "fash"),
        ("test", "wav/an4test_clstk/fcaw/an406-fcaw-b.sph", "RUBOUT G M", "fcaw"),
    ]
    (tmp_path / "wav/an4_clstk/fash/an251-fash-b.raw").write_bytes(b"")
    with pytest.raises(LayoutError, match=r"found \.raw, which has no header"):
        rows("an4", tmp_path)


def test_speech_commands_follow_their_lists(tmp_path: Path) -> None:
    for name in ("yes/aa_nohash_0.wav", "yes/bb_nohash_0.wav", "no/cc_nohash_1.wav"):
        recording(tmp_path / name)
    recording(tmp_path / "_background_noise_/pink_noise.wav")
    text(tmp_path / "validation_list.txt", "yes/bb_nohash_0.wav\n")
    text(tmp_path / "testing_list.txt", "no/cc_nohash_1.wav\n")
    assert rows("speechcommands", tmp_path) == [
        ("test", "no/cc_nohash_1.wav", "no", "cc"),
        ("train", "yes/aa_nohash_0.wav", "yes", "aa"),
        ("dev", "yes/bb_nohash_0.wav", "yes", "bb"),
    ]


@pytest.mark.parametrize("name", CORPORA)
def test_a_folder_of_something_else_says_what_was_expected_and_found(
    name: str, tmp_path: Path
) -> None:
    text(tmp_path / "holiday.jpg", "")
    with pytest.raises(LayoutError, match=r"expected .*; found holiday\.jpg"):
        rows(name, tmp_path)


@pytest.mark.parametrize("name", CORPORA)
def test_a_folder_that_is_not_there_is_said_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="found no such folder"):
        rows(name, tmp_path / "no")


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("trainingspeech", "data.csv", "path,text\na.wav,x\n", "duration is missing from path, text"),
        ("trainingspeech", "data.csv", "path,duration,text\na.wav,1\n", "row 2 has 2 fields, the header 3"),
        ("mailabs", "x/metadata.csv", "a|b\n", "line 1: expected NAME.*found 2 fields"),
        ("mls", "train/transcripts.txt", "a_b\tc\n", "line 1: expected SPEAKER_BOOK_NUMBER"),
    ],
)  # fmt: skip
def test_a_line_of_another_form_is_named(
    name: str, file: str, content: str, message: str, tmp_path: Path
) -> None:
    text(tmp_path / file, content)
    for folder in ("x/wavs", "train/audio"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    with pytest.raises(LayoutError, match=message):
        rows(name, tmp_path)


def test_a_table_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("path,duration,text\na.wav,1,été\n".encode("latin-1"))
    with pytest.raises(LayoutError, match=r"data\.csv: line 2: .* save it as UTF-8"):
        rows("trainingspeech", tmp_path)
