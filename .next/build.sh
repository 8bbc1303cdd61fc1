cd /work/main/.next
cat part1.py part2.py part3.py part4.py part5.py > deepreload.py
[ -f unload_section.py ] && { printf '\n\n'; cat unload_section.py; } >> deepreload.py
cat part7.py >> deepreload.py
[ -f cli_section.py ] && { printf '\n\n'; cat cli_section.py; } >> deepreload.py
cat >> deepreload.py <<'X'


if __name__ != "__main__":
    _note_what_runs()
    for _name in _Scope().loaded():  # what runs is what their files say now
        _running(_name)
X
