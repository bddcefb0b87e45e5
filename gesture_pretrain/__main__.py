"""`python -m gesture_pretrain`: the command line."""

from gesture_pretrain.commands.main import main

if __name__ == "__main__":
    main()
