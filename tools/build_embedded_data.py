"""Packs the emoji artwork of three makers into the shards that ship with the package.

    python tools/build_embedded_data.py [--downloads FOLDER] [--output src/sendvae/data/emoji]

Needs npm (`npm pack` of pinned versions; the archives' SHA-512 are checked). Every image is composited on
white, brought to 64x64 RGB and stored as WebP of quality 84 (lossless: about 28 MB, by a sample of 450). The loss
is printed while packing: 33.0 dB of mean PSNR.
The result is the same bytes on every run.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from sendvae.data.attributes import AttributeTable
from sendvae.data.shards import ShardWriter

SIZE = 64
QUALITY = 84
SHARD_BYTES = 5 * 2**20
MIN_POSITIVES = 50  # of every attribute, in every split
PACKAGES = {  # npm name -> (version, SHA-512 of the archive)
    "emoji-datasource-google": (
        "16.0.0",
        "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
    ),
    "emoji-datasource-twitter": (
        "16.0.0",
        "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
    ),
    "@lobehub/fluent-emoji-3d": (
        "1.1.0",
        "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    ),
}
MAKERS = {
    "noto": "emoji-datasource-google",
    "twemoji": "emoji-datasource-twitter",
    "fluent": "@lobehub/fluent-emoji-3d",
}
LICENCES = {
    "noto": "Noto Emoji artwork, Copyright Google LLC, Apache License 2.0 (npm emoji-datasource-google 16.0.0)",
    "twemoji": "Twemoji artwork, Copyright Twitter, Inc. and other contributors, CC-BY 4.0 (npm emoji-datasource-twitter 16.0.0)",
    "fluent": "Fluent Emoji 3D artwork, Copyright Microsoft Corporation, MIT (npm @lobehub/fluent-emoji-3d 1.1.0)",
}
SKIN_TONES = {
    "1F3FB": "light",
    "1F3FC": "medium-light",
    "1F3FD": "medium",
    "1F3FE": "medium-dark",
    "1F3FF": "dark",
}
# Code points that vary a concept without changing it: joiner, presentation, gender signs, direction, skin tone.
VARIANT_MARKS = {"200D", "FE0F", "2640", "2642", "27A1", *SKIN_TONES}
# Gendered and aged people, to one neutral stand-in for their age.
PEOPLE = {
    "1F468": "1F9D1", "1F469": "1F9D1", "1F466": "1F9D2", "1F467": "1F9D2", "1F474": "1F9D3", "1F475": "1F9D3",
    "1F385": "1F9D1-1F384", "1F936": "1F9D1-1F384", "1F934": "1FAC5", "1F478": "1FAC5",
    "1F46B": "1F46B", "1F46C": "1F46B", "1F46D": "1F46B", "1F57A": "1F483", "1F470": "1F470", "1F935": "1F935",
}  # fmt: skip
# Unions of emoji-datasource's subcategories: attribute name -> pattern.
GROUPS = {
    "animal": r"animal-",
    "mammal or bird": r"animal-(mammal|bird)", "plant or produce": r"plant-|food-(fruit|vegetable)",
    "meal or drink": r"food-(prepared|asian|sweet|marine)|drink|dishware",
    "face": r"face-|cat-face|monkey-face", "hand": r"hand-|hands", "hand or body part": r"hand-|hands|body-parts",
    "role": r"person-role", "activity": r"person-activity", "sport person": r"person-sport", "gesture": r"person-gesture",
    "fantasy": r"person-fantasy", "plain person": r"person$", "family or couple": r"family", "resting": r"person-resting",
    "country flag": r"country-flag", "vehicle": r"transport-(ground|air|water)", "building or place": r"place-",
    "sky or clock": r"sky & weather|time", "clothing or household": r"clothing|household", "tool or machine": r"tool|science|medical|computer|phone|light & video|sound|music|lock",
    "office or paper": r"office|book-paper|mail|writing", 
    "pictogram": r"transport-sign|warning|av-symbol|other-symbol|religion|zodiac", "sign or letters": r"alphanum|keycap|transport-sign|warning|av-symbol|other-symbol|religion|zodiac|geometric|arrow",
    "event, game or sport": r"event|game|award|arts|^sport",
}  # fmt: skip
WORDS = {  # attribute name -> pattern in the Unicode name
    "man": r"\bman\b|\bmen\b|\bboy\b|\bfather\b|\bprince\b", "woman": r"\bwom[ae]n\b|\bgirl\b|\bmother\b|\bprincess\b",
    "facing right": r"facing right", "special hair": r"red hair|curly hair|white hair|bald|beard|blond",
    "wheelchair or cane": r"wheelchair|cane", "couple": r"couple|kiss|holding hands",
}  # fmt: skip
HUES = {  # degrees; the darker orange is brown
    "red": (345, 15), "orange": (15, 40), "yellow": (40, 65), "green": (65, 170), "blue": (170, 255), "purple": (255, 345),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--downloads", type=Path, default=Path("build/emoji"))
    parser.add_argument("--output", type=Path, default=Path("src/sendvae/data/emoji"))
    args = parser.parse_args()
    archives = {package: download(package, args.downloads) for package in PACKAGES}
    art = read_art(archives)
    described = describe(art)
    write(described, args.output)


def download(package: str, folder: Path) -> Path:
    """Fetch one pinned npm archive unless it is there, check its SHA-512, and return its path."""
    version, expected = PACKAGES[package]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{package.lstrip('@').replace('/', '-')}-{version}.tgz"
    if not path.is_file():
        subprocess.run(
            ["npm", "pack", f"{package}@{version}"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != expected:
        raise SystemExit(f"{path}: SHA-512 is {digest}, expected {expected}")
    return path


def read_art(archives: dict[str, Path]) -> list[dict]:
    """Return a record for each maker and emoji variant, with its pixels and its entry of emoji-datasource."""
    with tarfile.open(archives["emoji-datasource-google"]) as tar:
        entries = json.loads(read(tar, "package/emoji.json"))
    variants = {}
    for entry in entries:
        for variant in [entry, *entry.get("skin_variations", {}).values()]:
            variants[normalise(variant["unified"])] = (entry, variant["unified"].upper())
    records = []
    for maker, package in MAKERS.items():
        pattern = re.compile(r"package/(img/\w+/64|assets)/([0-9a-f-]+)\.(png|webp)$")
        found = {}
        with tarfile.open(archives[package]) as tar:
            for member in tar:
                match = pattern.match(member.name)
                if match:
                    found.setdefault(normalise(match[2]), read(tar, member.name))
        matched = sorted(found.keys() & variants.keys())
        print(f"{maker}: {len(matched)} images; {len(found) - len(matched)} without an entry are left out")
        for key in matched:
            entry, unified = variants[key]
            records.append(
                {"maker": maker, "id": key, "unified": unified, "entry": entry, "image": compose(found[key])}
            )
    return records


def read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    assert member is not None
    return member.read()


def normalise(unified: str) -> str:
    """Return one spelling of a code point sequence: upper case, without padding and presentation selectors."""
    parts = [part.lstrip("0") for part in unified.upper().split("-")]
    return "-".join(part for part in parts if part != "FE0F")


def concept(entry: dict) -> str:
    """Return the code points that all skin-tone, gender and direction variants of an emoji share."""
    parts = [
        PEOPLE.get(part, part) for part in entry["unified"].upper().split("-") if part not in VARIANT_MARKS
    ]
    return "-".join(parts) or entry["unified"]


def compose(data: bytes) -> Image.Image:
    """Return artwork on white as 64x64 RGB."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    return image if image.size == (SIZE, SIZE) else image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def splits_of(records: list[dict]) -> dict[str, str]:
    """Return the split of each concept. Splits have 60 / 20 / 20 % of every subcategory's images, drawn by a hash."""
    sizes = Counter(concept(r["entry"]) for r in records)
    stratum = {concept(r["entry"]): r["entry"]["subcategory"] for r in records}
    splits: dict[str, str] = {}
    for name in sorted(set(stratum.values())):
        members = sorted(
            (c for c in sizes if stratum[c] == name), key=lambda c: hashlib.sha256(c.encode()).digest()
        )
        total, seen = sum(sizes[c] for c in members), 0
        for member in members:
            middle = (seen + sizes[member] / 2) / total
            splits[member] = "train" if middle < 0.6 else "val" if middle < 0.8 else "test"
            seen += sizes[member]
    return splits


def describe(records: list[dict]) -> list[dict]:
    """Encode each image, and add key, split, class and attributes, which are measured on the encoded pixels.

    Return the records by split, in an order that a hash gives.
    """
    errors = []
    splits = splits_of(records)
    for record in records:
        buffer = io.BytesIO()
        record["image"].save(buffer, "WEBP", quality=QUALITY, method=6)
        record["data"] = buffer.getvalue()
        packed = np.asarray(Image.open(buffer).convert("RGB"))
        errors.append(np.mean((packed.astype(float) - np.asarray(record["image"], float)) ** 2))
        entry = record["entry"]
        record["key"] = f"{record['maker']}/{record['id'].lower()}"
        record["concept"] = concept(entry)
        record["split"] = splits[record["concept"]]
        record["label"] = entry["category"]
        record["attributes"] = attributes(record, packed)
    print(
        f"WebP quality {QUALITY}: mean PSNR {np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-3))):.2f} dB"
    )
    order = {"train": 0, "val": 1, "test": 2}
    return sorted(records, key=lambda r: (order[r["split"]], hashlib.sha256(r["key"].encode()).digest()))


def attributes(record: dict, pixels: np.ndarray) -> dict[str, bool]:
    entry, tones = record["entry"], SKIN_TONES.keys() & set(record["unified"].split("-"))
    name = entry["name"].lower().replace("_", " ") if entry["name"] else entry["short_name"].replace("_", " ")
    found = {f"{tone} skin": code in tones for code, tone in SKIN_TONES.items()}
    found |= {label: bool(re.search(pattern, entry["subcategory"])) for label, pattern in GROUPS.items()}
    found |= {label: bool(re.search(pattern, name)) for label, pattern in WORDS.items()}
    found |= {f"by {maker}": record["maker"] == maker for maker in MAKERS}
    return found | colours(pixels)


def colours(pixels: np.ndarray) -> dict[str, bool]:
    """Return, for each colour, whether it covers at least a fifth of the artwork (the pixels that are not white)."""
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV"), float)
    hue, saturation, value = hsv[..., 0] * 360 / 255, hsv[..., 1] / 255, hsv[..., 2] / 255
    art = ~((saturation < 0.06) & (value > 0.94))
    vivid = art & (saturation > 0.35) & (value > 0.25)
    area = max(1, int(art.sum()))
    found = {}
    for name, (low, high) in HUES.items():
        inside = (hue >= low) & (hue < high) if low < high else (hue >= low) | (hue < high)
        found[f"much {name}"] = bool((vivid & inside).sum() / area > 0.2)
    brown = vivid & (hue >= 10) & (hue < 45) & (value < 0.62)
    found["much brown"] = bool(brown.sum() / area > 0.2)
    found["much black"] = bool((art & (value < 0.25)).sum() / area > 0.2)
    found["much grey"] = bool((art & (saturation < 0.15) & (value >= 0.25)).sum() / area > 0.2)
    found["colourful"] = sum(found[f"much {name}"] for name in HUES) >= 2
    found["pale"] = bool((art & (saturation < 0.35) & (value > 0.75)).sum() / area > 0.3)
    found["dark"] = bool(value[art].mean() < 0.55) if art.any() else False
    rows, columns = np.flatnonzero(art.any(1)), np.flatnonzero(art.any(0))
    height, width = (np.ptp(axis) + 1 if len(axis) else 1 for axis in (rows, columns))
    found["tall"], found["wide"] = bool(height > 1.25 * width), bool(width > 1.25 * height)
    mirrored = np.abs(pixels.astype(int) - pixels[:, ::-1].astype(int)).mean()
    found["mirror symmetric"] = bool(mirrored < 8)
    found["fills the frame"] = bool(art.mean() > 0.7)
    found["covers little"] = bool(art.mean() < 0.3)
    return found


def write(records: list[dict], output: Path) -> None:
    """Write the shards, the table of attributes and the licences."""
    counts = {split: Counter() for split in ("train", "val", "test")}
    for record in records:
        counts[record["split"]].update(name for name, value in record["attributes"].items() if value)
    names = [n for n in records[0]["attributes"] if all(c[n] >= MIN_POSITIVES for c in counts.values())]
    dropped = {n: [c[n] for c in counts.values()] for n in records[0]["attributes"] if n not in names}
    print(f"{len(names)} attributes; too rare in a split: {dropped}")
    print("images:", Counter(r["split"] for r in records), "classes:", Counter(r["label"] for r in records))
    classes = sorted({r["label"] for r in records})
    with ShardWriter(output, prefix="emoji", class_names=classes, max_bytes=SHARD_BYTES) as writer:
        for record in records:
            writer.write(
                record["key"].replace("/", "-"),
                record["data"],
                "webp",
                classes.index(record["label"]),
                record["split"],
            )
    table = AttributeTable(
        keys=tuple(r["key"].replace("/", "-") for r in records),
        names=tuple(names),
        values=np.array([[r["attributes"][n] for n in names] for r in records]),
        groups=tuple(r["concept"] for r in records),
    )
    table.save(output / "attributes.json")
    (output / "LICENCES.txt").write_text("\n".join(LICENCES.values()) + "\n" + CHANGES)


CHANGES = """
Changes to all three: composited on white, Fluent reduced to 64x64, re-encoded as WebP, packed in tar shards.
Categories, names and skin variations: emoji-data (npm emoji-datasource 16.0.0), MIT, Copyright Cal Henderson.

Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0 (its text is this project's LICENSE)
CC-BY 4.0: https://creativecommons.org/licenses/by/4.0/
MIT License: Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction, including without
limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the
Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:
The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT
SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
IN THE SOFTWARE.
"""

if __name__ == "__main__":
    main()
