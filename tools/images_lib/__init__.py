"""How tools/images makes images: definitions.py says which, build.py makes layers, archive.py writes them."""
