"""Code that only the notebooks use, on top of the package and never below it.

dataset.py      the set of images that the notebooks run on, and the published encoder
photographs.py  the photographs of notebook 10        own_folder.py  the folder of notebook 11
bands.py        the range in which a trained figure lies, whatever the machine
checks.py       checks of the exercises; exercises/ holds one for each of them
widgets.py      interactive figures; their JavaScript is in living/
engine.py       speed and recall of Qdrant Edge and of a Qdrant server
load_test.py    latencies of many clients at once      serving.py     an encoder as an ONNX file
"""
