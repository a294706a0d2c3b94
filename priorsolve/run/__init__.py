"""A run: which photos, on their way from file to measurement to picture, one record each, in an output folder that survives anything.

The way of a photo, by the modules that it passes:

    restoration   what is to do: which photos (`intake`), less those done before (`fingerprint`, `records`); holds the folder
                  (`outfolder`, `claims`, `plan`)
    workbench     photos read ahead, solved side by side, and written behind
    jobs          a photo becomes measurements (`measuring`; `scenes`, `shots` and `damage` where the prior draws parts of it)
    answers       the solver's picture of each measurement, and what is to be said of it (`diagnosis`)
    composing     the pictures of the whole photo (`blending`)
    keeping       pictures written, then the record; a failure is a record too
    album         when all are done: colours in common

`degrade` and `masks` write what they make of photos without solving.
"""
