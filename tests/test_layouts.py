"""Folders as people and programs leave them, each with what `metriclearn check` says about it."""

import json
import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from metriclearn.cli.main import main

FOUR = "cat/1.png cat/2.png dog/1.png dog/2.png"
FLAT = "1.png 2.png 3.png 4.png"
TWO_EACH = {"cat": 2, "dog": 2}
ONE_EACH = {"cat": 1, "dog": 1}
HALF = "It names 2 of the 4 pictures; the others have no label."
NO_FOLDERS = "What folders are called does not count."
NEXT = "Next: metriclearn fit in --out model"
SORT = "No picture has a label: sort some into a folder per class, or write labels.csv"
BOXES = "holds boxes, which label parts of a picture: write one label per picture, as labels.csv"
NO_PARTS = "which are parts of a data set and no classes: name one of them, such as"


@dataclass
class Layout:
    """A folder "in", and what is said of it.

    Attributes:
        pictures: names of pictures, with blanks between them; `~` in a name stands for a blank.
        texts: what lies beside them.
        classes: how many labelled pictures of each class are found, or None if the folder is refused.
        says: what the printed lines hold, among other things.
        labels: a table in the folder to name with --labels.
        folder: which folder to check.
    """

    pictures: str
    texts: dict = field(default_factory=dict)
    classes: dict | None = None
    says: tuple = ()
    labels: str = ""
    folder: str = "in"


def lines(*rows):
    return "".join(f"{row}\n" for row in rows)


LABELLED = lines("file_name,label", "1.png,cat", "2.png,dog")
LABEL_STUDIO = "project-1-at-2024-05-01-10-00-0a1b2c3d.csv"
STUDIO_ROWS = lines(
    "annotation_id,annotator,choice,created_at,id,image,lead_time,updated_at",
    "1,1,cat,x,1,/data/upload/1/3f2a8b10-1.png,2,x",
    "2,1,dog,x,2,/data/local-files/?d=in/2%20b.png,2,x",
)
SPLITS = "train/cat/1.png train/dog/1.png val/cat/2.png val/dog/2.png test/cat/3.png test/dog/3.png"

LAYOUTS = {
    "ImageFolder": Layout(FOUR, classes=TWO_EACH, says=(NEXT,)),
    "ImageFolder with splits": Layout(
        SPLITS, says=(f"The folder is divided into train, test and val, {NO_PARTS} in/train, or put",)
    ),
    "one split of it": Layout(SPLITS, classes=ONE_EACH, folder="in/train"),
    "splits in a folder of images": Layout(
        "images/train/cat/1.png images/validation/cat/2.png",
        says=(f"is divided into train and validation, {NO_PARTS} in/images/train,",),
    ),
    "training_set and test_set": Layout(
        "training_set/cats/1.png training_set/dogs/1.png test_set/cats/2.png",
        says=("into training_set and test_set", "such as in/training_set"),
    ),
    "seg_train and seg_pred": Layout("seg_train/sea/1.png seg_pred/3.png", says=("seg_train and seg_pred",)),
    "train and test without classes": Layout("Train/1.png Test/2.png", says=("into Train and Test",)),
    "splits beside a folder of another kind": Layout(
        f"{SPLITS} docs/logo.png", says=(f"is divided into train, test and val, {NO_PARTS} in/train",)
    ),
    "classes that are called split and fold": Layout(
        "split/1.png split/2.png fold/1.png fold/2.png tear/1.png",
        classes={"fold": 2, "split": 2, "tear": 1},
    ),
    "folds of a cross-validation": Layout("fold1/cat/1.png fold2/cat/2.png", says=("into fold1 and fold2",)),
    "a class that is called test": Layout(
        "cat/1.png cat/2.png test/1.png test/2.png", classes={"cat": 2, "test": 2}, says=(NEXT,)
    ),
    "folders by date in the classes": Layout(
        "cat/2024/01/1.png cat/2024/02/2.png dog/2023/1.png dog/2.png", classes=TWO_EACH, says=(NEXT,)
    ),
    "ImageNet": Layout(
        "n01440764/1.JPEG n01440764/2.JPEG n01443537/3.JPEG n01443537/4.JPEG",
        classes={"n01440764": 2, "n01443537": 2},
    ),
    "CUB": Layout(
        "images/001.Auk/1.jpg images/002.Jay/2.jpg",
        {"classes.txt": "1 001.Auk", "images.txt": "1 001.Auk/1.jpg"},
        {},
        (
            "Passed over: classes.txt; write labels.csv",
            "All pictures lie in one folder, images; they have no label: if the folders in it (001.Auk and "
            "002.Jay) are the classes, name in/images.",
        ),
    ),
    "metadata.csv of Hugging Face": Layout(
        FLAT, {"metadata.csv": LABELLED}, ONE_EACH, (f"Labels are those of metadata.csv. {HALF}",)
    ),
    "metadata.jsonl of Hugging Face": Layout(
        FLAT,
        {
            "metadata.jsonl": lines(
                '{"file_name": "1.png", "label": "cat"}', '{"file_name": "2.png", "label": "dog"}'
            )
        },
        ONE_EACH,
        (f"Labels are those of metadata.jsonl. {HALF}",),
    ),
    "a split with its metadata.csv": Layout(
        "train/1.png train/2.png test/3.png",
        {"train/metadata.csv": LABELLED, "test/metadata.csv": LABELLED},
        ONE_EACH,
        ("Labels are those of metadata.csv.",),
        folder="in/train",
    ),
    "captions of Hugging Face": Layout(
        FLAT,
        {"metadata.csv": lines("file_name,text", "1.png,a cat")},
        {},
        ("Passed over: metadata.csv needs one column", "its columns are file_name and text.", SORT),
    ),
    "features of Hugging Face beside folders": Layout(
        FOUR,
        {"metadata.csv": lines("file_name,age", "cat/1.png,3")},
        TWO_EACH,
        ("Passed over: metadata.csv", NEXT),
    ),
    "labels.csv beside folders": Layout(
        FOUR,
        {"labels.csv": lines("file_name,label", "cat/1.png,dog", "dog/1.png,cat")},
        ONE_EACH,
        (f"Labels are those of labels.csv. {HALF} {NO_FOLDERS}",),
    ),
    "labels.csv in capitals": Layout(
        FLAT,
        {"LABELS.CSV": lines("File_Name , Label", "./1.png,cat", " 2.png , dog")},
        ONE_EACH,
        ("Labels are those of LABELS.CSV.",),
    ),
    "a table in other capitals than the files": Layout(
        "IMG_1.JPG IMG_2.JPG",
        {"labels.csv": lines("file_name,label", "img_1.jpg,cat", "IMG_2.jpg,dog")},
        ONE_EACH,
    ),
    "a table with bars": Layout(
        FLAT, {"labels.csv": lines("File Name|Label", "1.png|cat", "2.png|dog")}, ONE_EACH
    ),
    "a table with blanks before its quotes": Layout(
        FLAT, {"labels.csv": lines('"file_name", "label"', '"1.png", "cat"', '"2.png", "dog"')}, ONE_EACH
    ),
    "two tables": Layout(
        FLAT,
        {"labels.csv": LABELLED, "metadata.csv": LABELLED},
        says=("holds both labels.csv and metadata.csv: keep the one that is right.",),
    ),
    "a table in the folder of a class": Layout(
        FOUR,
        {"cat/labels.csv": LABELLED},
        TWO_EACH,
        ("Passed over: cat/labels.csv, since a table counts only in the folder itself.",),
    ),
    "a table of names below the folder of pictures": Layout(
        "images/1.png images/2.png",
        {"labels.csv": LABELLED},
        ONE_EACH,
        ("The names in labels.csv are read as those in images.", NO_FOLDERS),
    ),
    "a table of names with the folder in front": Layout(
        FOUR, {"labels.csv": lines("file_name,label", "in/cat/1.png,cat", "in/dog/1.png,dog")}, ONE_EACH
    ),
    "Label Studio, CSV": Layout(
        "1.png 2~b.png",
        {LABEL_STUDIO: STUDIO_ROWS},
        ONE_EACH,
        (f"Labels of {LABEL_STUDIO} (column choice) count",),
        LABEL_STUDIO,
    ),
    "Label Studio, CSV that nobody names": Layout(
        "1.png 2~b.png",
        {LABEL_STUDIO: STUDIO_ROWS},
        {},
        (f"Passed over: {LABEL_STUDIO}; to take its labels, add --labels in/{LABEL_STUDIO}.", SORT),
    ),
    "Label Studio, JSON-MIN": Layout(
        "3f2a8b10-1.png 2.png",
        {
            "export.json": json.dumps(
                [
                    {"image": "/data/upload/2/3f2a8b10-1.png", "id": 1, "choice": "cat"},
                    {"image": "/data/upload/2/3f2a8b11-2.png", "id": 2, "choice": "dog"},
                ]
            )
        },
        ONE_EACH,
        ("Labels of export.json (column choice) count for 2 pictures that it names.",),
        "export.json",
    ),
    "Label Studio, JSON": Layout(
        FLAT,
        {"export.json": json.dumps([{"id": 1, "data": {"image": "1.png"}, "annotations": []}])},
        {},
        ("Passed over: export.json is Label Studio's full JSON: export CSV or JSON-MIN from there.",),
    ),
    "Roboflow, folders": Layout(
        "train/cat/a.png valid/cat/c.png test/cat/d.png",
        {"README.roboflow.txt": "", "README.dataset.txt": ""},
        says=("into train, test and valid,",),
    ),
    "Roboflow, a column per class": Layout(
        FLAT,
        {"_classes.csv": lines("filename, cat, dog", "1.png,1,0", "2.png,0,1", "3.png,1,0", "4.png,0,0")},
        {"cat": 2, "dog": 1},
        ("Labels are those of _classes.csv (a column per class).",),
    ),
    "Roboflow, several classes at once": Layout(
        FLAT,
        {"_classes.csv": lines("filename, cat, dog", "1.png,1,1")},
        says=("_classes.csv gives 1.png several labels: keep one per picture.",),
    ),
    "Roboflow, COCO": Layout(
        FLAT,
        {"_annotations.coco.json": json.dumps({"images": [], "annotations": [], "categories": []})},
        {},
        (f"Passed over: _annotations.coco.json {BOXES}", SORT),
    ),
    "Roboflow, boxes as CSV": Layout(
        FLAT,
        {
            "_annotations.csv": lines(
                "filename,width,height,class,xmin,ymin,xmax,ymax", "1.png,8,8,cat,0,0,1,1"
            )
        },
        {},
        (f"Passed over: _annotations.csv {BOXES}", SORT),
    ),
    "FiftyOne, folders": Layout(f"{FOUR} _unlabeled/1.png", classes=TWO_EACH, says=(NEXT,)),
    "FiftyOne, labels.json": Layout(
        "data/1.png data/2.png data/3.png",
        {"labels.json": json.dumps({"classes": ["cat", "dog"], "labels": {"1": 0, "2": 1, "3": None}})},
        ONE_EACH,
        ("The names in labels.json are read as those in data.", "Labels are those of labels.json."),
    ),
    "Kaggle, names without an ending": Layout(
        "train/0a.jpg train/0b.jpg test/0c.jpg",
        {
            "train.csv": lines("id,label", "0a,cat", "0b,dog"),
            "sample_submission.csv": lines("id,label", "0c,cat"),
        },
        ONE_EACH,
        (
            "Passed over: sample_submission.csv; to take its labels, add --labels in/sample_submission.csv.",
            "The folders train and test are parts of a data set, and no classes.",
            "The names in train.csv are read as those in train.",
        ),
        "train.csv",
    ),
    "Kaggle, breeds of dogs": Layout(
        "train/0a.jpg train/0b.jpg",
        {"labels.csv": lines("id,breed", "0a,boxer", "0b,beagle")},
        {"beagle": 1, "boxer": 1},
        (f"Labels are those of labels.csv (column breed). {NO_FOLDERS}",),
    ),
    "Kaggle, another column": Layout(
        "HAM/1.jpg HAM/2.jpg",
        {"metadata.csv": lines("lesion_id,image_id,dx", "L,1,nv")},
        {"HAM": 2},
        ("one column label: its columns are lesion_id, image_id and dx.", "are of one class (HAM)"),
    ),
    "Keras, flow_from_dataframe": Layout(
        FLAT, {"labels.csv": lines(",filename,class", "0,1.png,cat", "1,2.png,dog")}, ONE_EACH
    ),
    "a phone": Layout(
        "DCIM/100APPLE/IMG_1.JPG DCIM/101APPLE/IMG_3.JPG",
        {f"DCIM/100APPLE/{name}": "x" for name in ("IMG_1.AAE", "IMG_4.HEIC", "IMG_4.MOV")},
        {},
        (
            "All pictures lie in one folder, DCIM; they have no label",
            "2 other files were passed over.",
            "DCIM/100APPLE/IMG_4.HEIC  is a picture of a kind that is not read here (heic): save it as JPEG",
        ),
    ),
    "a camera that writes RAW and JPEG": Layout(
        "cat/D1.JPG cat/D2.JPG dog/D1.JPG dog/D2.JPG",
        {"cat/D1.NEF": "x", "dog/D9.CR3": "x"},
        TWO_EACH,
        (
            "Skipped: 2",
            "cat/D1.NEF  is the raw file of the picture beside it, which is read",
            "dog/D9.CR3  is a picture of a kind that is not read here (cr3): save it as JPEG or PNG",
        ),
    ),
    "a Synology": Layout(
        f"{FOUR} @eaDir/1.png #recycle/1.png cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        classes=TWO_EACH,
        says=("Passed over: what systems and other programs keep in #recycle and @eaDir.", NEXT),
    ),
    "a zip of macOS": Layout(
        "photos/cat/1.png photos/cat/2.png photos/dog/1.png photos/dog/2.png",
        {"__MACOSX/photos/cat/._1.png": "x", "photos/.DS_Store": "x", "photos/cat/._1.png": "x"},
        {"photos": 4},
        (
            "keep in __MACOSX.",
            "All pictures lie in one folder, photos: if the folders in it (cat and dog) are the classes, "
            "name in/photos.",
            "are of one class (photos)",
        ),
    ),
    "a disk of Windows": Layout(
        f"{FOUR} $RECYCLE.BIN/S-1-5/$R1.png System~Volume~Information/1.png",
        {"Thumbs.db": "x", "cat/ehthumbs.db": "x", "desktop.ini": "x"},
        TWO_EACH,
        ("keep in $RECYCLE.BIN and System Volume Information.", NEXT),
    ),
    "a disk of Linux": Layout(
        f"{FOUR} lost+found/1.png .Trash-1000/files/1.png .ipynb_checkpoints/1.png",
        classes=TWO_EACH,
        says=("keep in lost+found.", NEXT),
    ),
    "a table of Windows": Layout(
        "d/1.png d/2.png",
        {"labels.csv": "\ufefffile_name;label\r\nd\\1.png;cat\r\n.\\d\\2.png;dog\r\n"},
        ONE_EACH,
        (NO_FOLDERS,),
    ),
    "Google Takeout": Layout(
        "Takeout/Google~Photos/Cats/1.jpg Takeout/Google~Photos/Dogs/2.jpg",
        {"Takeout/archive_browser.html": "", "Takeout/Google Photos/Cats/1.jpg.json": "{}"},
        {"Takeout": 2},
        ("lie in one folder, Takeout/Google Photos: if the folders in it (Cats and Dogs) are the classes",),
    ),
    "an album of Google": Layout(
        "1.jpg 2.jpg",
        {"1.jpg.json": "{}", "2.jpg.supplemental-metadata.json": "{}", "metadata.json": "{}"},
        {},
        ("Passed over: metadata.json holds no rows of a table", "3 other files were passed over.", SORT),
    ),
    "WhatsApp": Layout(
        "WhatsApp~Images/IMG-1-WA0001.jpg WhatsApp~Images/Sent/IMG-2-WA0002.jpg",
        {"WhatsApp Images/Private/.nomedia": ""},
        {"WhatsApp Images": 2},
        ("All labelled pictures are of one class (WhatsApp Images)",),
    ),
    "a scanner": Layout(
        "cat/1.tif cat/2.tif dog/1.tiff dog/2.TIF", classes=TWO_EACH, says=("without colour",)
    ),
    "YOLO, classify": Layout(
        "train/cat/1.png val/cat/2.png test/cat/3.png", says=("is divided into train, test and val,",)
    ),
    "YOLO, detect": Layout(
        "images/train/1.png images/val/2.png",
        {"labels/train/1.txt": "0 0 0 1 1", "data.yaml": "names: [cat]"},
        says=("is divided into train and val,", "such as in/images/train"),
    ),
    "Pascal VOC": Layout(
        "JPEGImages/1.jpg JPEGImages/2.jpg",
        {"Annotations/1.xml": "<a/>", "ImageSets/Main/train.txt": "1"},
        {},
        ("lie in one folder, JPEGImages; they have no label: sort them into a folder per class", SORT),
    ),
    "CVAT, ImageNet": Layout(
        FOUR, {"synsets.txt": "cat\ndog"}, TWO_EACH, ("1 other files were passed over.", NEXT)
    ),
    "CVAT, ImageNet, some without a label": Layout(
        f"{FOUR} no_label/1.png",
        says=('called "no_label", which means no class: rename it, to "unlabelled"',),
    ),
    "Labelbox": Layout(
        FLAT,
        {"export.ndjson": '{"data_row": {"external_id": "1.png"}, "projects": {}}\n'},
        {},
        (
            "Passed over: export.ndjson needs one column file_name",
            "its columns are data_row and projects.",
            SORT,
        ),
    ),
    "VGG Image Annotator": Layout(
        FLAT,
        {"via_export.csv": "filename,file_attributes,region_shape_attributes\n1.png,{},{}\n"},
        {},
        (f"Passed over: via_export.csv {BOXES}",),
    ),
    "Excel with sep=;": Layout(
        FLAT, {"labels.csv": "sep=;\r\nfile_name;label\r\n1.png;cat\r\n2.png;dog\r\n"}, ONE_EACH, (HALF,)
    ),
    "Excel, Unicode text": Layout(
        FLAT,
        {"labels.csv": "file_name\tlabel\r\n1.png\tkätzchen\r\n2.png\tdog\r\n".encode("utf-16")},
        {"dog": 1, "kätzchen": 1},
    ),
    "Excel with empty columns": Layout(
        FLAT, {"labels.csv": lines("file_name,label,,", "1.png,cat,,", "2.png,dog,,")}, ONE_EACH
    ),
    "Excel, Latin 1": Layout(
        FLAT,
        {"labels.csv": "file_name;label\n1.png;kätzchen\n".encode("cp1252")},
        says=("labels.csv cannot be read as a table", "save it as CSV in UTF-8."),
    ),
    "Excel, a workbook": Layout(
        FLAT, {"labels.xlsx": "PK\x03\x04"}, {}, ("Passed over: labels.xlsx; write labels.csv", SORT)
    ),
    "Excel, a workbook that is called CSV": Layout(
        FLAT, {"labels.csv": "PK\x03\x04"}, says=("is a workbook of a spreadsheet: save it as CSV in UTF-8.",)
    ),
    "R writes NA": Layout(
        FLAT,
        {"labels.csv": lines("file_name,label", "1.png,cat", "2.png,NA")},
        says=(
            'called "NA", which means no class: rename it, to "unlabelled" (in a table leave the cell empty)',
        ),
    ),
    "paths of another machine": Layout(
        FLAT,
        {"labels.csv": lines("file_name,label", "C:\\Users\\me\\1.png,cat")},
        says=("labels.csv names C:\\Users\\me\\1.png, but there is no such picture in the folder: correct",),
    ),
    "a table without a header": Layout(
        FLAT,
        {"labels.csv": lines("1.png,cat", "2.png,dog")},
        says=("labels.csv needs one column file_name", "its columns are 1.png and cat."),
    ),
}


def build(root, layout):
    """Write a layout; each picture has its own noise, and a TIFF 16 bits."""
    for name in layout.pictures.split():
        path = root / name.replace("~", " ")
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(zlib.crc32(name.encode()))
        deep = path.suffix.lower().startswith(".tif")
        values = random.integers(0, 65536, (8, 8)) if deep else random.integers(0, 256, (8, 8, 3))
        Image.fromarray(values.astype(np.uint16 if deep else np.uint8)).save(path)
    for name, text in layout.texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("name", LAYOUTS)
def test_check_says_what_a_folder_is(name, tmp_path, monkeypatch, capsys):
    layout = LAYOUTS[name]
    build(tmp_path / "in", layout)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "cache"))
    command = ["check", layout.folder, *(["--labels", f"in/{layout.labels}"] if layout.labels else [])]
    code = main(command)
    said = capsys.readouterr()
    for words in layout.says:
        assert words in said.out + said.err
    assert (code == 0) == (layout.classes is not None)
    if layout.classes is None:
        [sentence] = said.err.splitlines()
        assert ": " in sentence.partition("metriclearn check: ")[2]  # what is wrong: what to do
    else:
        assert main([*command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["classes"] == layout.classes
